//! The options and variables that override the file.

use lockstep_engine::infer::step::Step;
use lockstep_engine::pipeline::{KafkaSpec, Limits};

use super::device::parse_device;
use super::kinds::{parse_size, show_size};
use super::reader::Notes;
use super::service::{MEMORY, check_brokers, check_listen};
use super::supervision::like_its_model;

/// Values that replace those in the file. Commands flatten them into their arguments.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Overrides {
    /// Kafka's brokers, host:port, comma-separated, instead of the file's
    #[arg(long, value_name = "HOST:PORT,…", env = "LOCKSTEP_BROKERS")]
    pub brokers: Option<String>,
    /// The consumer group instead of the file's
    #[arg(long, value_name = "NAME", env = "LOCKSTEP_GROUP")]
    pub group: Option<String>,
    /// Address for metrics and health instead of the file's; `off` serves nothing
    #[arg(long, value_name = "HOST:PORT", env = "LOCKSTEP_HTTP")]
    pub http: Option<String>,
    /// Memory for payloads in flight instead of the file's, as 256MiB
    #[arg(long, value_name = "SIZE", env = "LOCKSTEP_MEMORY")]
    pub memory: Option<String>,
    /// Device of every model instead of the file's: auto, cpu or cuda:0
    #[arg(long, value_name = "DEVICE", env = "LOCKSTEP_DEVICE")]
    pub device: Option<String>,
}

/// Replaces the brokers of the configuration.
pub(super) fn set_brokers(notes: &Notes<'_>, kafka: &mut KafkaSpec, brokers: &str) {
    match check_brokers(brokers) {
        Ok(()) => brokers.clone_into(&mut kafka.brokers),
        Err(message) => wrong(notes, "--brokers", message),
    }
}

fn wrong(notes: &Notes<'_>, option: &str, message: String) {
    let variable = option.trim_start_matches('-').to_uppercase();
    notes.at(None, format!("{option} (or LOCKSTEP_{variable})"), message);
}

impl Overrides {
    pub(super) fn apply(
        &self,
        notes: &Notes<'_>,
        kafka: &mut KafkaSpec,
        limits: &mut Limits,
        http: &mut Option<String>,
        steps: &mut [Step],
    ) {
        let wrong = |option: &str, message: String| wrong(notes, option, message);
        if let Some(brokers) = &self.brokers {
            set_brokers(notes, kafka, brokers);
        }
        match self.group.as_deref() {
            Some("") => wrong("--group", "is empty; write a name".to_owned()),
            Some(group) => group.clone_into(&mut kafka.group),
            None => {}
        }
        match self.http.as_deref() {
            Some("off") => *http = None,
            Some(listen) => match check_listen(listen) {
                Ok(()) => *http = Some(listen.to_owned()),
                Err(message) => wrong("--http", format!("{message}, or off")),
            },
            None => {}
        }
        if let Some(memory) = &self.memory {
            match parse_size(memory).filter(|size| MEMORY.contains(size)) {
                Some(size) => limits.memory = size,
                None => {
                    let (least, most) = (show_size(*MEMORY.start()), show_size(*MEMORY.end()));
                    wrong(
                        "--memory",
                        format!("is {memory:?}; write a size from {least} to {most}, as 256MiB"),
                    );
                }
            }
        }
        if let Some(device) = &self.device {
            match parse_device(device) {
                Some(device) => steps.iter_mut().for_each(|step| {
                    step.unit.model.device = device;
                    like_its_model(&mut step.care, &step.unit.model);
                }),
                None => wrong("--device", format!("is {device:?}; write auto, cpu or cuda:0")),
            }
        }
    }
}
