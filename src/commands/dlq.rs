//! `lockstep dlq`

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
use lockstep_connectors::kafka::tail::TailRecord;
use lockstep_connectors::kafka::topic_snapshot::{SnapshotEvent, TopicSnapshot};
use lockstep_engine::pipeline::KafkaSpec;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::Failure;
use super::cluster::Cluster;
use filter::{Filter, Place};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List dead letters, one a line, and count them by reason
    ///
    /// Each line has the letter's place in the topic (PARTITION:OFFSET), the record's own timestamp, the reason, who
    /// found it, how often it was tried, where it came from (TOPIC/PARTITION@OFFSET), its stream, the size of its
    /// value and what was found. Letters that have been put back are left out unless --all is given.
    ///
    /// With --json each letter is an object on a line of its own, and nothing is counted.
    List(list::Args),
    /// Show everything about one dead letter, and save its value
    Show(show::Args),
    /// Put dead letters back where they came from, after a fix
    ///
    /// Each letter's record goes back to its topic and partition as it was: key, value, headers and timestamp. One
    /// header is added, `lockstep-replays`: how often it has been put back. Say which letters by filters, by places
    /// (as `dlq list` prints them), or by --all. A letter that has been put back is not put back again, whichever way
    /// it is named, unless --again is given.
    ///
    /// What was put back is noted in the consumer group TOPIC.replay, after the brokers have acknowledged the records:
    /// Ctrl-C leaves the note right. A process that is killed may have put back some more than is noted, and these
    /// come twice when it is run again. The brokers forget the note with the group's offsets
    /// (`offsets.retention.minutes`, 7 days, after the last replay): let dead letters expire before that. Run one replay
    /// of a topic at a time.
    ///
    /// A record keeps its event time. Where its stream has gone on, it is late: give the pipeline an
    /// `align.allowed_lateness` that reaches back, or put the letters back while the producers pause.
    ///
    /// The exit code is 1 if a letter could not be put back; each is told, with the reason.
    #[command(after_help = "Examples:
  lockstep dlq replay pipeline.dead-letters --reason oversized --dry-run
  lockstep dlq replay pipeline.dead-letters --reason model-failed --stage infer
  lockstep dlq replay pipeline.dead-letters 0:17 0:18
  lockstep dlq replay pipeline.dead-letters --all")]
    Replay(replay::Args),
}

/// Which topic, where.
#[derive(clap::Args)]
struct Topic {
    /// The topic of dead letters (`results.dead_letters` of the pipeline)
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

/// Set by Ctrl-C; a second one ends the process at once.
fn cancelled() -> Result<Arc<AtomicBool>, Failure> {
    let cancelled = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, cancelled.clone())?;
        signal_hook::flag::register(signal, cancelled.clone())?;
    }
    Ok(cancelled)
}

/// Reads all records until `each` has enough. Whether that was not cut short by Ctrl-C.
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

/// Where a record stands.
fn place(record: &TailRecord) -> Place {
    Place { partition: record.partition, offset: record.offset }
}
