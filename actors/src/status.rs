//! What the pipeline says of its health.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use lockstep_engine::condition::{Board, Cause, Change, Condition, Conditions, Said, Work};
use lockstep_engine::supervision::breaker::BreakerState;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use crate::heartbeat::Heartbeat;
use crate::instance::count::Instances;
use crate::resize::Shards;

/// Under which name the pipeline as a whole stands among its actors.
pub const PIPELINE: &str = "pipeline";

/// Shared by all actors of a pipeline and read by the health endpoint. It outlives the pipeline: one that is
/// started again goes on with it.
#[derive(Debug, Default)]
pub struct Status {
    /// Models are loaded and the source runs.
    pub running: AtomicBool,
    /// How many pipelines have been put together.
    pipelines: AtomicU64,
    /// Partitions that are ours.
    pub partitions: AtomicUsize,
    /// Bundles that have closed and whose results have not been acknowledged. Each pipeline has a count of its own, since
    /// actors of one that was replaced may still count down.
    in_flight: Mutex<Arc<AtomicUsize>>,
    /// Results acknowledged.
    pub results: AtomicU64,
    /// How many shards there are, and are to be.
    pub shards: Shards,
    /// How many offsets have been read, and of how many, by a pipeline that ends by itself.
    progress: Mutex<Option<(u64, u64)>>,
    /// What keeps it from reading, publishing or committing now.
    board: Mutex<Board>,
    /// Whether there is anything on the board.
    is_troubled: AtomicBool,
    /// What is wrong with what others write into the inputs, by subject.
    upstream: Mutex<BTreeMap<&'static str, String>>,
    /// Why the pipeline ended, if it failed for good.
    failure: Mutex<Option<String>>,
    actors: Mutex<BTreeMap<String, ActorHealth>>,
    /// What is remembered of actors of pipelines before, until they are there again.
    past: Mutex<BTreeMap<String, ActorHealth>>,
    heartbeats: Mutex<BTreeMap<String, Arc<Heartbeat>>>,
    breakers: Mutex<BTreeMap<String, BreakerHealth>>,
    instances: Mutex<BTreeMap<String, Arc<Instances>>>,
}

/// What an actor or an instance does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It is made ready: a model is loaded.
    #[default]
    Starting,
    /// It works.
    Running,
    /// It has failed, and waits until it is started again.
    Restarting,
    /// It has failed too often.
    Failed,
}

impl State {
    /// As it stands in what health says.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
        }
    }
}

/// The health of one actor or instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActorHealth {
    /// What it does.
    pub state: State,
    /// How often it was started again.
    pub restarts: u64,
    /// Why it failed last.
    pub last_error: Option<String>,
}

/// The health of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerHealth {
    /// What its breaker does.
    pub state: BreakerState,
    /// Whether bundles wait while it is not closed.
    pub holds_up: bool,
}

impl Status {
    /// Notes what is wrong with what others write into the inputs, or that nothing is any more.
    pub(crate) fn set_upstream(&self, subject: &'static str, wrong: Option<String>) {
        let mut upstream = self.upstream.lock();
        match wrong {
            Some(wrong) => upstream.insert(subject, wrong),
            None => upstream.remove(subject),
        };
    }

    /// What is wrong with what others write into the inputs, by subject. It keeps nobody from working.
    pub fn upstream(&self) -> BTreeMap<&'static str, String> {
        self.upstream.lock().clone()
    }

    /// Notes why the pipeline failed for good; the first reason stays.
    pub fn set_failure(&self, why: &str) {
        self.failure.lock().get_or_insert_with(|| why.to_owned());
        self.change(PIPELINE, |actor| actor.state = State::Failed);
    }

    /// So many offsets have been read, of so many.
    pub(crate) fn set_progress(&self, progress: (u64, u64)) {
        *self.progress.lock() = Some(progress);
    }

    /// How many offsets have been read, and of how many, by a pipeline that ends by itself.
    pub fn progress(&self) -> Option<(u64, u64)> {
        *self.progress.lock()
    }

    /// The number of the present pipeline.
    pub(crate) fn pipeline(&self) -> u64 {
        self.pipelines.load(Ordering::Acquire)
    }

    /// Whether bundles are under way.
    pub fn is_busy(&self) -> bool {
        self.bundles_in_flight() > 0
    }

    /// Bundles that have closed and whose results have not been acknowledged.
    pub fn bundles_in_flight(&self) -> usize {
        self.in_flight.lock().load(Ordering::Relaxed)
    }

    /// Where an actor of the present pipeline counts its bundles.
    pub(crate) fn count_bundles(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.in_flight.lock())
    }

    /// What keeps it from working now, those first that keep it from being ready.
    pub fn conditions(&self) -> Vec<Condition> {
        self.board.lock().held(Timestamp::now())
    }

    /// Logs again what still keeps it from working, so that it is never silent for long while it cannot work. To be called
    /// about once a second.
    pub fn say_again(&self) {
        if self.is_troubled.load(Ordering::Relaxed) {
            let due = self.board.lock().due(Timestamp::now());
            due.iter().for_each(log);
        }
    }

    /// Why the pipeline failed for good.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Whether it takes records and makes results.
    pub fn is_ready(&self) -> bool {
        let breakers = self.breakers.lock();
        let held_up = breakers.values().any(|it| it.holds_up && it.state != BreakerState::Closed);
        drop(breakers);
        self.running.load(Ordering::Relaxed)
            && self.failure.lock().is_none()
            && !held_up
            && !self.board.lock().blocks(Timestamp::now())
            && self.actors.lock().values().all(|actor| actor.state == State::Running)
    }

    /// Somebody is being made ready, for the first time or again.
    pub fn starting(&self, who: &str) {
        self.change(who, |actor| {
            actor.restarts += u64::from(actor.state == State::Restarting);
            actor.state = State::Starting;
        });
    }

    /// Somebody works.
    pub fn running(&self, who: &str) {
        self.change(who, |actor| actor.state = State::Running);
    }

    /// Somebody has failed, and will be started again or with the pipeline.
    pub fn failed(&self, who: &str, why: &str) {
        self.change(who, |actor| {
            actor.state = State::Restarting;
            actor.last_error = Some(why.to_owned());
        });
    }

    fn change(&self, who: &str, change: impl FnOnce(&mut ActorHealth)) {
        let mut actors = self.actors.lock();
        match actors.get_mut(who) {
            Some(actor) => change(actor),
            None => {
                let before = self.past.lock().remove(who).unwrap_or_default();
                change(actors.entry(who.to_owned()).or_insert(before));
            }
        }
    }

    /// What a step's breaker does; `holds_up` says whether bundles wait while it is not closed.
    pub fn set_breaker(&self, step: &str, state: BreakerState, holds_up: bool) {
        self.breakers.lock().insert(step.to_owned(), BreakerHealth { state, holds_up });
    }

    /// How many instances a step has, and is to have.
    pub fn instances_of(&self, step: &str) -> Arc<Instances> {
        Arc::clone(self.instances.lock().entry(step.to_owned()).or_default())
    }

    /// The same of every step that has been asked about.
    pub fn instances(&self) -> BTreeMap<String, Arc<Instances>> {
        self.instances.lock().clone()
    }

    /// The pipeline is put together anew: what is told of the one before is so no more.
    pub fn begin(&self) {
        self.pipelines.fetch_add(1, Ordering::AcqRel);
        self.running.store(false, Ordering::Relaxed);
        self.partitions.store(0, Ordering::Relaxed);
        *self.in_flight.lock() = Arc::default();
        // Those that are there again say so; an instance that is not would never be running.
        let mut actors = self.actors.lock();
        let pipeline = actors.remove_entry(PIPELINE);
        self.past.lock().append(&mut actors);
        actors.extend(pipeline);
        drop(actors);
        self.shards.set_current(0);
        let mut board = self.board.lock();
        board.clear();
        self.is_troubled.store(false, Ordering::Release);
        drop(board);
        self.heartbeats.lock().clear();
        self.breakers.lock().clear();
        self.instances.lock().values().for_each(|instances| instances.begin());
    }

    /// An actor has ended, as it was to.
    pub(crate) fn ended(&self, who: &str) {
        self.actors.lock().remove(who);
        self.heartbeats.lock().remove(who);
    }

    /// The heartbeat of an actor that begins.
    pub(crate) fn heartbeat(&self, who: &str) -> Arc<Heartbeat> {
        let heartbeat = Arc::new(Heartbeat::default());
        self.heartbeats.lock().insert(who.to_owned(), heartbeat.clone());
        heartbeat
    }

    /// The heartbeats of the actors whose names begin so.
    pub(crate) fn pulses_of(&self, names: &str) -> Vec<Arc<Heartbeat>> {
        let heartbeats = self.heartbeats.lock();
        heartbeats
            .iter()
            .filter(|(who, _)| who.starts_with(names))
            .map(|(_, heartbeat)| heartbeat.clone())
            .collect()
    }

    /// The heartbeats of all actors.
    pub(crate) fn heartbeats(&self) -> Vec<(String, Arc<Heartbeat>)> {
        self.heartbeats.lock().iter().map(|(who, heartbeat)| (who.clone(), heartbeat.clone())).collect()
    }

    /// The health of every actor and instance by name, the pipeline as a whole among them.
    pub fn actors(&self) -> BTreeMap<String, ActorHealth> {
        self.actors.lock().clone()
    }

    /// The health of every step's model.
    pub fn breakers(&self) -> BTreeMap<String, BreakerHealth> {
        self.breakers.lock().clone()
    }
}

impl Conditions for Status {
    fn report(&self, work: Work, on: &str, cause: Cause) {
        let mut board = self.board.lock();
        self.is_troubled.store(true, Ordering::Release);
        let said = board.report(work, on, cause, Timestamp::now());
        drop(board);
        said.iter().for_each(log);
    }

    fn done(&self, work: Work, on: &str) {
        // Most of the time there is nothing to end, and this is called for each record.
        if !self.is_troubled.load(Ordering::Acquire) {
            return;
        }
        let mut board = self.board.lock();
        let said = board.progress(work, on, Timestamp::now());
        if board.is_empty() {
            self.is_troubled.store(false, Ordering::Release);
        }
        drop(board);
        said.iter().for_each(log);
    }
}

/// Logs what has become of a condition.
fn log(Said { condition, change }: &Said) {
    let Condition { work, on, cause, since, reports, .. } = condition;
    let (work, for_s) = (work.as_str(), Timestamp::now().since(*since).as_secs());
    let Cause { what, remedy, .. } = cause;
    match change {
        Change::Begins => tracing::warn!(work, on, cause = what, remedy, "blocked"),
        Change::Lasts { repeated } => {
            tracing::warn!(work, on, for_s, repeated, cause = what, remedy, "still blocked");
        }
        Change::Ends => tracing::info!(work, on, for_s, repeated = reports, "no longer blocked"),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
