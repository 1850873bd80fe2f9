//! Looks each second at a process under load.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use lockstep_actors::Stop;
use lockstep_assemble::Failure;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use super::process::Process;

const EVERY: Duration = Duration::from_secs(1);

/// The measures at one time.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct LoadMeasures {
    #[serde(skip)]
    pub(super) at: Timestamp,
    /// Seconds since the first look.
    pub(super) second: f64,
    /// Pairs sent, and results acknowledged.
    pub(super) sent: u64,
    pub(super) results: u64,
    /// Records that wait in Kafka.
    pub(super) lag: f64,
    /// The age of the oldest unprocessed event, in seconds. The process reports records that wait in Kafka. For records in
    /// flight it is the time since the pair of the next result was sent.
    pub(super) age: f64,
    /// Bytes of the budget in flight, and the budget.
    pub(super) in_flight: f64,
    pub(super) budget: f64,
    /// The memory of the process that is in RAM, in bytes.
    pub(super) rss: f64,
    pub(super) shards: f64,
}

impl LoadMeasures {
    fn take(process: &Process, sent: &Sent, first: Timestamp) -> Result<Self, Failure> {
        let status = process.ask()?;
        let now = Timestamp::now();
        let count = |count: Option<u64>| count.unwrap_or(0) as f64;
        let results = status.results.acknowledged;
        let oldest = status.oldest_event_age_seconds().unwrap_or(0.0);
        let due = sent.0.lock();
        let next = usize::try_from(results).ok().and_then(|next| due.get(next));
        Ok(Self {
            at: now,
            second: now.since(first).as_secs_f64(),
            sent: due.len() as u64,
            results,
            lag: count(status.lag_records()),
            age: next.map_or(0.0, |due| now.since(*due).as_secs_f64()).max(oldest),
            in_flight: count(status.memory.in_flight_bytes),
            budget: count(status.memory.budget_bytes),
            rss: process.memory().map_or(f64::NAN, |memory| memory.now),
            shards: status.shards.scaling.current as f64,
        })
    }
}

/// When each pair was due.
#[derive(Clone, Default)]
pub(super) struct Sent(Arc<Mutex<Vec<Timestamp>>>);

impl Sent {
    pub(super) fn add(&self, due: Timestamp) {
        self.0.lock().push(due);
    }
}

/// Looks on a thread of its own.
pub(super) struct ProcessWatch {
    looks: Arc<Mutex<Vec<LoadMeasures>>>,
    stop: Stop,
    thread: JoinHandle<Process>,
}

impl ProcessWatch {
    pub(super) fn start(process: Process, sent: Sent) -> Result<Self, Failure> {
        let (looks, stop) = (Arc::<Mutex<Vec<LoadMeasures>>>::default(), Stop::default());
        let (seen, until, first) = (looks.clone(), stop.clone(), Timestamp::now());
        let thread = std::thread::Builder::new().name("watch".into()).spawn(move || {
            while !until.wait(EVERY) {
                match LoadMeasures::take(&process, &sent, first) {
                    Ok(look) => seen.lock().push(look),
                    Err(error) => tracing::warn!(error, "reading the status failed"),
                }
            }
            process
        })?;
        Ok(Self { looks, stop, thread })
    }

    pub(super) fn last(&self) -> Option<LoadMeasures> {
        self.looks.lock().last().copied()
    }

    /// Looks no more.
    pub(super) fn end(self) -> Result<(Process, Vec<LoadMeasures>), Failure> {
        self.stop.stop();
        let process = self.thread.join().map_err(|_| "the thread that looks panicked")?;
        Ok((process, std::mem::take(&mut *self.looks.lock())))
    }
}
