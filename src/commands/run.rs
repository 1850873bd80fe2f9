//! `lockstep run`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use lockstep_actors::{Ended, Observer, Status, Stop, Unobserved};
use lockstep_connectors::kafka::topic_check::Findings;
use lockstep_connectors::kafka::{self, preflight};
use lockstep_engine::batch::BatchMode;
use lockstep_engine::condition::{Cause, Conditions, Work};
use lockstep_engine::ingest::until::{Ends, time_left};
use lockstep_engine::pipeline::Pipeline;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::Failure;
use super::outcomes::Outcomes;
use crate::assemble;
use crate::settings::{Overrides, load};

/// How long brokers may take to describe the topics before that is said, and they are asked again.
const BROKERS_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait before brokers are asked again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How often a run until the end tells how far it has come.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often it is looked whether something is to be said again.
const SAY_EVERY: Duration = Duration::from_secs(1);

const DETAILS: &str = "\
Reads the pipeline's input topics as a member of its consumer group and publishes results. Several processes
with the same configuration share the partitions.

Stops in order on Ctrl-C or SIGTERM: takes nothing more in, finishes what is under way, commits and leaves
the group, within limits.stop_within. What was not finished is not committed, and is read again at the next
start. A second Ctrl-C ends it at once; that loses nothing either.

With --until-end it processes the records that its inputs' topics hold when it starts, as fast as it can: batches are full
(the mode static), however long that takes. Then what is still open closes as if its streams had ended, all is
committed and the process ends. What is published meanwhile is left to the next run. The log then tells how many results
there are, and of each input how many records ended in results, late, as duplicates or otherwise.

Brokers that are away are waited for. What fails is replaced, within [supervision]; what fails again and again ends
the process.

SIGUSR1 asks for one shard more and SIGUSR2 for one less, and `lockstep scale` for any number of shards, or of instances of a
model; streams move to them, or from them, while records come.

Exits with 0 after an orderly stop and with 1 otherwise.";

#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    /// The pipeline's TOML file
    config: PathBuf,
    /// Process what is there at the start, in full batches, and end
    #[arg(long)]
    until_end: bool,
    #[command(flatten)]
    overrides: Overrides,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut pipeline = load(&args.config, &args.overrides)?;
    let stop = Stop::default();
    stop_on_signals(&stop)?;

    let status = Arc::new(Status::default());
    resize_on_signals(&status)?;
    let _saying = say_again(&status)?;
    let http = assemble::serve(&pipeline, &status)?;

    let Some(findings) = check_topics(&pipeline, &status, &stop)? else { return Ok(ExitCode::SUCCESS) };
    for note in &findings.notes {
        tracing::warn!("{note}");
    }
    if let Some(limit) = findings.metadata_limit {
        let setting = "offset.metadata.max.bytes";
        tracing::info!(
            setting,
            limit,
            "the brokers take less metadata with a commit than delivery.metadata_limit"
        );
        pipeline.delivery.metadata_limit = limit;
    }
    let problems = findings.problems;
    if !problems.is_empty() {
        let config = args.config.display();
        let list: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        return Err(format!("the topics do not fit the pipeline {config}:{list}").into());
    }
    let until = if args.until_end { Some(what_is_there(&mut pipeline)?) } else { None };
    let _progress = until.as_ref().map(|_| tell_progress(&status)).transpose()?;
    let outcomes = until.as_ref().map(|_| Outcomes::default());
    let inputs: Vec<String> = pipeline.inputs.iter().map(|input| input.name.clone()).collect();
    let observer: Box<dyn Observer> = match &outcomes {
        Some(outcomes) => Box::new(outcomes.clone()),
        None => Box::new(Unobserved),
    };
    let ended = assemble::run(pipeline, observer, status, &stop, until.as_ref());
    drop(http);
    if let Some(outcomes) = &outcomes {
        outcomes.tell(&inputs);
    }
    match ended? {
        Ended::InOrder => Ok(ExitCode::SUCCESS),
        Ended::CutShort(why) => Err(format!("the stop was cut short: {why}").into()),
    }
}

/// Where the inputs' partitions end now; the steps' batches are static from here on.
fn what_is_there(pipeline: &mut Pipeline) -> Result<Ends, Failure> {
    for step in &mut pipeline.steps {
        step.batch.mode = BatchMode::Static;
    }
    let ends = kafka::ends::ends(pipeline, BROKERS_WITHIN)?;
    tracing::info!(partitions = ends.len(), "up to the ends that there are now");
    Ok(ends)
}

/// Tells now and then how far a run has come and how long the rest will take, until what is returned is dropped.
fn tell_progress(status: &Arc<Status>) -> Result<SyncSender<()>, Failure> {
    let (alive, ended) = sync_channel(0);
    let (status, since) = (status.clone(), Instant::now());
    std::thread::Builder::new().name("progress".into()).spawn(move || {
        while ended.recv_timeout(PROGRESS_EVERY) == Err(RecvTimeoutError::Timeout) {
            let Some((done, total)) = status.progress() else { continue };
            let under_way = status.bundles_in_flight();
            let left = time_left(done, total, since.elapsed());
            let left = left.map_or_else(|| "?".to_owned(), |left| format!("{} s", left.as_secs()));
            let percent = (done * 100).checked_div(total).unwrap_or(100);
            tracing::info!("read {done} of {total} records ({percent} %), about {left} left; {under_way} bundles under way");
        }
    })?;
    Ok(alive)
}

/// Logs again what keeps the pipeline from working, until what is returned is dropped.
fn say_again(status: &Arc<Status>) -> Result<SyncSender<()>, Failure> {
    let (alive, ended) = sync_channel(0);
    let status = status.clone();
    std::thread::Builder::new().name("conditions".into()).spawn(move || {
        while ended.recv_timeout(SAY_EVERY) == Err(RecvTimeoutError::Timeout) {
            status.say_again();
        }
    })?;
    Ok(alive)
}

/// Holds the topics against the pipeline. Brokers that are away or too few are waited for; none when asked to stop meanwhile.
fn check_topics(pipeline: &Pipeline, status: &Status, stop: &Stop) -> Result<Option<Findings>, Failure> {
    let mut pause = FIRST_PAUSE;
    let mut hidden: BTreeSet<String> = BTreeSet::new();
    loop {
        let cause = match preflight::topics_and_settings(pipeline, BROKERS_WITHIN) {
            Ok(findings) if findings.not_yet.is_empty() || !findings.problems.is_empty() => {
                status.done(Work::Connect, "");
                for topic in &hidden {
                    status.done(Work::Read, topic);
                }
                return Ok(Some(findings));
            }
            Ok(findings) => Cause::lasting(findings.not_yet.join("; "), ""),
            Err(kafka::Error::Unreachable { brokers, cause }) => {
                // Asked for five seconds already: it has lasted.
                let names_them = brokers.split(',').any(|broker| cause.what.contains(broker.trim()));
                let what = match names_them {
                    true => cause.what,
                    false => format!("cannot reach the brokers {brokers}: {}", cause.what),
                };
                Cause::lasting(what, cause.remedy)
            }
            Err(kafka::Error::Hidden(topics)) => {
                status.done(Work::Connect, "");
                for (topic, cause) in topics {
                    status.report(Work::Read, &topic, cause);
                    hidden.insert(topic);
                }
                if stop.wait(pause) {
                    return Ok(None);
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        status.report(Work::Connect, "", cause);
        if stop.wait(pause) {
            return Ok(None);
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
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
