//! `lockstep dlq`: lists, shows and replays dead letters.

mod filter;
mod list;
mod notes;
mod plan;
mod render;
mod replay;
mod show;
mod topic;

use std::process::ExitCode;

use clap::Subcommand;

use super::Failure;

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

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.action {
        Action::List(args) => list::run(&args),
        Action::Show(args) => show::run(&args),
        Action::Replay(args) => replay::run(&args),
    }
}
