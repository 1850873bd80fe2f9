//! A run of a pipeline over a number of records, with the time of each event in it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use lockstep_actors::{Observer, PipelineEnd, Status, Stop};
use lockstep_assemble as assemble;
use lockstep_assemble::Failure;
use lockstep_engine::fault::Fault;
use lockstep_engine::infer::job::Job;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::position::InputId;
use lockstep_engine::publish::result::Timing;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::time::{Timestamp, nanos};
use parking_lot::Mutex;

use super::live::Live;

/// The longest that starting, or the records of a round, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Acknowledgements that a feeder has not looked at yet.
const ACKNOWLEDGED: usize = 100_000;

/// Where the time of one bundle went, in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) stream: StreamKey,
    /// When it happened: for paced records, when they were due to be sent.
    pub(super) event_time: Timestamp,
    pub(super) polled_at: Timestamp,
    /// When the last of its records was polled.
    pub(super) complete_at: Timestamp,
    pub(super) acknowledged_at: Timestamp,
    /// From the poll until Kafka's client has the result, less the model's run and that part of the wait
    /// for a batch that the batch delay allows, and less [`Self::model_busy`]. Its parts:
    pub(super) added: i64,
    /// From the poll to everything being there that the model needs.
    pub(super) align: i64,
    /// The same from the poll of the last of its records.
    pub(super) closing: i64,
    /// Waiting for a batch beyond the batch delay.
    pub(super) batch: i64,
    /// Filling the batch's memory.
    pub(super) preprocess: i64,
    /// From the model's end to handing the result over.
    pub(super) result: i64,
    /// The wait of a filled batch for a model that was busy.
    pub(super) model_busy: i64,
}

/// A round that has ended.
pub(super) struct Round {
    /// From the first poll to the last acknowledgement.
    pub(super) seconds: f64,
    /// The spans of every bundle, if they are recorded.
    pub(super) spans: Vec<Span>,
    /// The most shards that there were.
    pub(super) shards: usize,
}

#[derive(Default)]
struct RoundRecords {
    results: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    spans: Vec<Span>,
    shards: usize,
    lost: Option<String>,
}

struct RoundObserver {
    seen: Arc<Mutex<RoundRecords>>,
    wanted: u64,
    with_spans: bool,
    max_delay: i64,
    acknowledged: Sender<Timestamp>,
    status: Arc<Status>,
    stop: Stop,
}

impl RoundObserver {
    fn lost(&self, what: String) {
        self.seen.lock().lost.get_or_insert(what);
        self.stop.stop();
    }

    fn span(&self, job: &Job, publish: Duration, polled_at: Timestamp, now: Timestamp) -> Option<Span> {
        let timing = job.at(0)?.timing;
        let model = timing.finished_at.nanos_since(timing.started_at);
        let model_busy = timing.started_at.nanos_since(timing.prepared_at);
        let waited = timing.cut_at.nanos_since(timing.ready_at);
        let allowed = waited.min(self.max_delay);
        let whole = now.nanos_since(polled_at) - nanos(publish);
        let samples = job.bundle.parts.iter().flat_map(|part| &part.samples);
        let complete_at = samples.map(|sample| sample.record.read_at).max().unwrap_or(polled_at);
        Some(Span {
            stream: job.bundle.stream.clone(),
            event_time: job.bundle.event_time,
            polled_at,
            complete_at,
            acknowledged_at: now,
            added: whole - model - model_busy - allowed,
            align: timing.ready_at.nanos_since(polled_at),
            closing: timing.ready_at.nanos_since(complete_at),
            batch: waited - allowed,
            preprocess: timing.prepared_at.nanos_since(timing.cut_at),
            result: now.nanos_since(timing.finished_at) - nanos(publish),
            model_busy,
        })
    }
}

impl Observer for RoundObserver {
    fn published(&mut self, job: &Job, _timing: &Timing, publish: Duration) {
        let now = Timestamp::now();
        let sample = job.bundle.parts.iter().flat_map(|part| &part.samples).next();
        let polled_at = sample.map_or(now, |sample| sample.record.read_at);
        let span = if self.with_spans { self.span(job, publish, polled_at, now) } else { None };
        let mut seen = self.seen.lock();
        seen.results += 1;
        seen.first = Some(seen.first.map_or(polled_at, |first| first.min(polled_at)));
        seen.last = Some(now);
        seen.spans.extend(span);
        seen.shards = seen.shards.max(self.status.shards.current());
        if self.with_spans {
            // A feeder that has gone, or does not listen, needs no word.
            let _ = self.acknowledged.try_send(job.bundle.event_time);
        }
        if seen.results == self.wanted {
            self.stop.stop();
        }
    }

    fn late(&mut self, _input: InputId) {
        self.lost("a record came late".to_owned());
    }

    fn dropped(&mut self, _input: InputId, reason: &'static str) {
        self.lost(format!("a record ended in no result: {reason}"));
    }

    fn dead_lettered(&mut self, _input: InputId, fault: &Fault) {
        self.lost(format!("a record was dead-lettered: {fault}"));
    }
}

/// Runs a pipeline over records that are there already, until each has its result.
pub(super) fn flood(pipeline: Pipeline, records: u64, with_spans: bool) -> Result<Round, Failure> {
    drive(pipeline, records, with_spans, |_| Ok(()))
}

/// Runs a pipeline over the records that `feed` sends once the pipeline is ready. `feed` is given what
/// it can know of it meanwhile.
pub(super) fn drive(
    pipeline: Pipeline,
    records: u64,
    with_spans: bool,
    feed: impl FnOnce(&Live<'_>) -> Result<(), Failure>,
) -> Result<Round, Failure> {
    let (stop, status) = (Stop::default(), Arc::new(Status::default()));
    let seen = Arc::new(Mutex::new(RoundRecords::default()));
    let (acknowledged, told) = bounded(ACKNOWLEDGED);
    let watch = RoundObserver {
        seen: seen.clone(),
        wanted: records,
        with_spans,
        max_delay: pipeline.steps.first().map_or(0, |step| nanos(step.batch.max_delay)),
        acknowledged,
        status: status.clone(),
        stop: stop.clone(),
    };
    let (over, ended) = bounded(1);
    let runner = {
        let (status, stop) = (status.clone(), stop.clone());
        std::thread::Builder::new().name("pipeline".into()).spawn(move || {
            let outcome = assemble::run(pipeline, Box::new(watch), status, &stop, None);
            let _ = over.send(outcome.map_err(|error| error.to_string()));
        })?
    };
    let early = until_ready(&status, &ended);
    let fed =
        if early.is_none() { feed(&Live { told: &told, status: &status, stop: &stop }) } else { Ok(()) };
    let outcome = match early {
        Some(outcome) => outcome,
        None => until_over(&seen, &status, &ended, &stop),
    };
    runner.join().map_err(|_| "the pipeline's thread panicked")?;
    fed?;
    let ended = outcome?;
    let mut seen = seen.lock();
    if let Some(lost) = seen.lost.take() {
        return Err(format!("{lost}; the figures would be wrong").into());
    }
    if seen.results < records {
        return Err(format!("{} of {records} results came, then no more", seen.results).into());
    }
    if let PipelineEnd::CutShort(why) = ended {
        return Err(format!("the stop was cut short: {why}").into());
    }
    let (first, last) = (seen.first.unwrap_or_default(), seen.last.unwrap_or_default());
    let seconds = last.since(first).as_secs_f64();
    Ok(Round { seconds, spans: std::mem::take(&mut seen.spans), shards: seen.shards })
}

type RunResult = Result<PipelineEnd, String>;

/// Waits until the pipeline runs and has its partitions; gives its end when that comes first.
fn until_ready(status: &Status, ended: &Receiver<RunResult>) -> Option<RunResult> {
    for _ in 0..PATIENCE.as_millis() {
        if status.is_ready() && status.partitions.load(Ordering::Relaxed) > 0 {
            return None;
        }
        match ended.recv_timeout(Duration::from_millis(1)) {
            Ok(outcome) => return Some(outcome),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Some(Err("the pipeline's thread is gone".into())),
        }
    }
    // The wait for results finds out that nothing happens.
    None
}

/// Waits for the end; a pipeline that makes no result any more is stopped.
fn until_over(
    seen: &Mutex<RoundRecords>,
    status: &Status,
    ended: &Receiver<RunResult>,
    stop: &Stop,
) -> RunResult {
    let mut before = None;
    loop {
        match ended.recv_timeout(PATIENCE) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => return Err("the pipeline's thread is gone".into()),
            Err(RecvTimeoutError::Timeout) => {
                let now = seen.lock().results;
                if before == Some(now) || now == 0 {
                    tracing::warn!(
                        results = now,
                        bundles_in_flight = status.bundles_in_flight(),
                        partitions = status.partitions.load(Ordering::Relaxed),
                        conditions = ?status.conditions(),
                        "no result for a minute: the round is given up"
                    );
                    stop.stop();
                }
                before = Some(now);
            }
        }
    }
}
