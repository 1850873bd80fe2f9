//! `lockstep dlq`: lists, shows and replays dead letters.

mod filter;
mod list;
mod notes;
mod plan;
mod render;
mod replay;
mod show;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Subcommand;
use lockstep_engine::pipeline::KafkaSpec;
use lockstep_kafka::tail::TailRecord;
use lockstep_kafka::topic_snapshot::{SnapshotEvent, TopicSnapshot};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::Failure;
use super::cluster::Cluster;
use filter::{DeadLetterFilter, Place};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List dead letters, one a line, and count them by reason
    ///
    /// The fields of a line: the place in the topic (PARTITION:OFFSET), the timestamp of the record, the reason, the
    /// stage that reported it, the number of tries, the source (TOPIC/PARTITION@OFFSET), the stream, the size of the
    /// value, and the message. Dead letters that have been replayed are left out unless --all is given.
    ///
    /// With --json each dead letter is an object on a line of its own, without the counts.
    List(list::Args),
    /// Show everything about one dead letter, and save its value
    Show(show::Args),
    /// Replay dead letters to the topics they came from, after a fix
    ///
    /// Each record returns unchanged to its topic and partition: key, value, headers and timestamp. The replay adds one
    /// header, `lockstep-replays`, with the number of replays. Choose dead letters by filters, by places (as `dlq list`
    /// prints them), or by --all. Without --again, none is replayed twice.
    ///
    /// Once the brokers have acknowledged the records, the replay notes them in the consumer group TOPIC.replay. After
    /// Ctrl-C the note is complete. A process that is killed may have replayed more records than it noted; the next
    /// replay sends these twice. The brokers delete the note with the group's offsets (`offsets.retention.minutes`, 7
    /// days after the last replay), so let dead letters expire earlier. Run one replay of a topic at a time.
    ///
    /// A record keeps its event time, so it is late if its stream has advanced. Give the pipeline an
    /// `align.allowed_lateness` that reaches back, or replay while the producers pause.
    ///
    /// The exit code is 1 if a dead letter could not be replayed; each is printed with the reason.
    #[command(after_help = "Examples:
  lockstep dlq replay pipeline.dead-letters --reason oversized --dry-run
  lockstep dlq replay pipeline.dead-letters --reason model-failed --stage infer
  lockstep dlq replay pipeline.dead-letters 0:17 0:18
  lockstep dlq replay pipeline.dead-letters --all")]
    Replay(replay::Args),
}

/// The topic of dead letters and its brokers.
#[derive(clap::Args)]
struct Topic {
    /// The topic of dead letters (the pipeline's `results.dead_letters`)
    topic: String,
    #[command(flatten)]
    cluster: Cluster,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
}

impl Topic {
    fn open(&self, kafka: &KafkaSpec) -> Result<TopicSnapshot, Failure> {
        Ok(TopicSnapshot::open(&kafka.brokers, &kafka.consumer, &self.topic)?)
    }
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.action {
        Action::List(args) => list::run(&args),
        Action::Show(args) => show::run(&args),
        Action::Replay(args) => replay::run(&args),
    }
}

/// A flag that Ctrl-C sets. A second Ctrl-C ends the process at once.
fn cancelled() -> Result<Arc<AtomicBool>, Failure> {
    let cancelled = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, cancelled.clone())?;
        signal_hook::flag::register(signal, cancelled.clone())?;
    }
    Ok(cancelled)
}

/// Reads records until the end or until `each` returns false. Returns false if Ctrl-C cut it short.
fn read_all(
    whole: &mut TopicSnapshot,
    cancelled: &AtomicBool,
    mut each: impl FnMut(TailRecord) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match whole.next(Duration::from_millis(100))? {
            SnapshotEvent::Record(record) => {
                if !each(record)? {
                    return Ok(true);
                }
            }
            SnapshotEvent::Nothing => {}
            SnapshotEvent::End => return Ok(true),
        }
    }
}

/// The place of a record in the topic.
fn place(record: &TailRecord) -> Place {
    Place { partition: record.partition, offset: record.offset }
}
