//! `lockstep run`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lockstep_actors::{Ended, Status, Stop, Unobserved};
use lockstep_connectors::kafka::{self, admin};
use lockstep_engine::pipeline::Pipeline;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::Failure;
use crate::assemble;
use crate::settings::{Overrides, load};

/// How long brokers may take to describe the topics before that is said, and they are asked again.
const BROKERS_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait before brokers are asked again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

const DETAILS: &str = "\
Reads the pipeline's input topics as a member of its consumer group and publishes results. Several processes
with the same configuration share the partitions.

Stops in order on Ctrl-C or SIGTERM: takes nothing more in, finishes what is under way, commits and leaves
the group, within limits.stop_within. What was not finished is not committed, and is read again at the next
start. A second Ctrl-C ends it at once; that loses nothing either.

Brokers that are away are waited for. What fails is replaced, within [supervision]; what fails again and again ends
the process.

SIGUSR1 asks for one shard more and SIGUSR2 for one less; streams move to it, or from it, while records come.

Exits with 0 after an orderly stop and with 1 otherwise.";

#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    /// The pipeline's TOML file
    config: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let pipeline = load(&args.config, &args.overrides)?;
    let stop = Stop::default();
    stop_on_signals(&stop)?;

    let status = Arc::new(Status::default());
    resize_on_signals(&status)?;
    let http = assemble::serve(&pipeline, &status)?;

    let Some(problems) = check_topics(&pipeline, &status, &stop)? else { return Ok(ExitCode::SUCCESS) };
    if !problems.is_empty() {
        let config = args.config.display();
        let list: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        return Err(format!("the topics do not fit the pipeline {config}:{list}").into());
    }
    let ended = assemble::run(pipeline, Box::new(Unobserved), status, &stop);
    drop(http);
    match ended? {
        Ended::InOrder => Ok(ExitCode::SUCCESS),
        Ended::CutShort(why) => Err(format!("the stop was cut short: {why}").into()),
    }
}

/// Holds the topics against the pipeline. Brokers that are away are waited for; none when asked to stop meanwhile.
fn check_topics(pipeline: &Pipeline, status: &Status, stop: &Stop) -> Result<Option<Vec<String>>, Failure> {
    let mut pause = FIRST_PAUSE;
    loop {
        match admin::check_topics(pipeline, BROKERS_WITHIN) {
            Ok(problems) => {
                status.set_trouble(None);
                return Ok(Some(problems));
            }
            Err(error @ kafka::Error::Unreachable { .. }) => {
                tracing::warn!("{error}; asking again in {pause:?}");
                status.set_trouble(Some(error.to_string()));
                if stop.wait(pause) {
                    return Ok(None);
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// SIGUSR1 asks for one shard more, SIGUSR2 for one less.
fn resize_on_signals(status: &Arc<Status>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGUSR1, SIGUSR2])?;
    let status = Arc::clone(status);
    std::thread::Builder::new().name("resize-signals".into()).spawn(move || {
        for signal in signals.forever() {
            status.shards.ask_for(if signal == SIGUSR1 { 1 } else { -1 });
        }
    })?;
    Ok(())
}

/// The first SIGINT or SIGTERM asks for an orderly stop, the second ends the process at once.
pub(crate) fn stop_on_signals(stop: &Stop) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let stop = stop.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if stop.is_stopped() {
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
            stop.stop();
        }
    })?;
    Ok(())
}
