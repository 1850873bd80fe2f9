//! `lockstep run`: a pipeline against its brokers.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use lockstep_actors::{Observer, PipelineEnd, Status, Stop, Unobserved};
use lockstep_assemble as assemble;
use lockstep_engine::batch::BatchMode;
use lockstep_engine::condition::{Cause, Conditions, Work};
use lockstep_engine::ingest::until::{EndOffsets, time_left};
use lockstep_engine::pipeline::Pipeline;
use lockstep_kafka::topic_check::Findings;
use lockstep_kafka::{self as kafka, preflight};
use lockstep_settings::{Overrides, load};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::Failure;
use super::outcomes::Outcomes;

/// The longest wait for the brokers to describe the topics. Then the log reports it and the command retries.
const BROKERS_WITHIN: Duration = Duration::from_secs(5);
/// The first pause before a retry; each is twice the one before, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The interval of progress in the log of `--until-end`.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The interval of checks for conditions that are due to be logged again.
const REPORT_EVERY: Duration = Duration::from_secs(1);

const DETAILS: &str = "\
Reads the pipeline's input topics as a member of its consumer group and publishes results. Several processes
with the same configuration share the partitions.

Ctrl-C or SIGTERM stops it in order, within limits.stop_within: it reads no more, finishes the records in flight,
commits and leaves the group. Unfinished records are not committed, and the next start reads them again. A second
Ctrl-C ends it at once; that loses nothing either.

With --until-end it processes the records that the topics hold at the start, with full batches (the mode static).
Then open bundles close as if their streams had ended, it commits all positions, and the process ends. Records that
arrive meanwhile are left to the next run. At the end the log has the number of results, and for each input the
number of records that ended in results, late, as duplicates or otherwise.

If the brokers do not answer, it retries. Failed parts are replaced, within [supervision]; the process ends if they
keep failing.

SIGUSR1 adds one shard and SIGUSR2 removes one. `lockstep scale` sets any number of shards, or of instances of a
model. Streams move between shards while records arrive.

Exits with 0 after an orderly stop and with 1 otherwise.";

#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    /// The pipeline's TOML file
    config: PathBuf,
    /// Process the records that the topics hold at the start, in full batches, and end
    #[arg(long)]
    until_end: bool,
    #[command(flatten)]
    overrides: Overrides,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut pipeline = load(&args.config, &args.overrides, &lockstep_assemble::describe)?;
    let stop = Stop::default();
    stop_on_signals(&stop)?;

    let status = Arc::new(Status::default());
    resize_on_signals(&status)?;
    let _reporting = report_conditions(&status)?;
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
    let until = if args.until_end { Some(read_up_to_now(&mut pipeline)?) } else { None };
    let _progress = until.as_ref().map(|_| log_progress(&status)).transpose()?;
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
        PipelineEnd::InOrder => Ok(ExitCode::SUCCESS),
        PipelineEnd::CutShort(why) => Err(format!("the stop was cut short: {why}").into()),
    }
}

/// Makes the steps' batches static and returns the current end of each input's partitions.
fn read_up_to_now(pipeline: &mut Pipeline) -> Result<EndOffsets, Failure> {
    for step in &mut pipeline.steps {
        step.batch.mode = BatchMode::Static;
    }
    let ends = kafka::ends::ends(pipeline, BROKERS_WITHIN)?;
    tracing::info!(partitions = ends.len(), "up to the ends that there are now");
    Ok(ends)
}

/// Logs the progress and the time left until the returned sender is dropped.
fn log_progress(status: &Arc<Status>) -> Result<SyncSender<()>, Failure> {
    let (alive, ended) = sync_channel(0);
    let (status, since) = (status.clone(), Instant::now());
    std::thread::Builder::new().name("progress".into()).spawn(move || {
        while ended.recv_timeout(PROGRESS_EVERY) == Err(RecvTimeoutError::Timeout) {
            let Some((done, total)) = status.progress() else { continue };
            let under_way = status.bundles_in_flight();
            let left = time_left(done, total, since.elapsed());
            let left = left.map_or_else(|| "?".to_owned(), |left| format!("{} s", left.as_secs()));
            let percent = (done * 100).checked_div(total).unwrap_or(100);
            tracing::info!(read = done, total, percent, left, bundles_in_flight = under_way, "progress");
        }
    })?;
    Ok(alive)
}

/// Logs lasting conditions again until the returned sender is dropped.
fn report_conditions(status: &Arc<Status>) -> Result<SyncSender<()>, Failure> {
    let (alive, ended) = sync_channel(0);
    let status = status.clone();
    std::thread::Builder::new().name("conditions".into()).spawn(move || {
        while ended.recv_timeout(REPORT_EVERY) == Err(RecvTimeoutError::Timeout) {
            status.say_again();
        }
    })?;
    Ok(alive)
}

/// Checks that the topics fit the pipeline. Retries while brokers are missing. None if it is stopped meanwhile.
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
                // The request has been retried for five seconds already, so the condition lasts.
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

/// Adds a shard on SIGUSR1 and removes one on SIGUSR2.
fn resize_on_signals(status: &Arc<Status>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGUSR1, SIGUSR2])?;
    let status = Arc::clone(status);
    std::thread::Builder::new().name("resize-signals".into()).spawn(move || {
        for signal in signals.forever() {
            status.shards.override_by(if signal == SIGUSR1 { 1 } else { -1 });
        }
    })?;
    Ok(())
}

/// Stops in order on the first SIGINT or SIGTERM, and at once on the second.
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
