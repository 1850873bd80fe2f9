//! The health of the pipeline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use lockstep_engine::condition::{Board, Cause, Change, Condition, ConditionEntry, Conditions, Work};
use lockstep_engine::scaling::Decision;
use lockstep_engine::supervision::breaker::BreakerState;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use crate::counts::{Instances, ShardCount};
use crate::heartbeat::Heartbeat;

/// The name of the pipeline as a whole among its actors.
pub const PIPELINE: &str = "pipeline";
/// The first part of the names of shards.
pub(crate) const ALIGN_PREFIX: &str = "align-";

/// Returns the name of a shard's actor.
pub(crate) fn shard_name(shard: usize) -> String {
    format!("{ALIGN_PREFIX}{shard}")
}

/// The health that all actors of a pipeline share and the health endpoint reads. It outlives the pipeline: a restarted one goes
/// on with it.
#[derive(Debug, Default)]
pub struct Status {
    /// True while the models are loaded and the source runs.
    pub running: AtomicBool,
    /// The number of pipelines started so far.
    pipelines: AtomicU64,
    /// The number of assigned partitions.
    pub partitions: AtomicUsize,
    /// The number of closed bundles whose results are not acknowledged. Each pipeline has its own count, since actors of a
    /// replaced pipeline may still count down.
    in_flight: Mutex<Arc<AtomicUsize>>,
    /// The number of acknowledged results.
    pub results: AtomicU64,
    /// The desired and current number of shards.
    pub shards: ShardCount,
    /// The offsets read, and all offsets to read, of a pipeline that ends by itself.
    progress: Mutex<Option<(u64, u64)>>,
    /// The conditions that block reading, publishing or committing now.
    board: Mutex<Board>,
    /// True if the board has a condition.
    has_conditions: AtomicBool,
    /// Faults of the producers of the inputs, by subject.
    upstream: Mutex<BTreeMap<&'static str, String>>,
    /// The reason of the pipeline's final failure.
    failure: Mutex<Option<String>>,
    actors: Mutex<BTreeMap<String, ActorHealth>>,
    /// The health of actors of earlier pipelines, until they start again.
    past: Mutex<BTreeMap<String, ActorHealth>>,
    heartbeats: Mutex<BTreeMap<String, Arc<Heartbeat>>>,
    breakers: Mutex<BTreeMap<String, BreakerHealth>>,
    instances: Mutex<BTreeMap<String, Arc<Instances>>>,
    /// The last decision of the scaling policy on each stage, by the stage's name.
    decisions: Mutex<BTreeMap<Arc<str>, LastDecision>>,
}

/// The last decision of the scaling policy on a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct LastDecision {
    /// The wall-clock time of the decision.
    pub at: Timestamp,
    /// The decision.
    pub decision: Decision,
}

/// The state of an actor or an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It starts: an instance loads its model.
    #[default]
    Starting,
    /// It works.
    Running,
    /// It has failed and waits for its restart.
    Restarting,
    /// It has failed too often.
    Failed,
}

impl State {
    /// Returns the state's name in the health document.
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
    /// The state.
    pub state: State,
    /// The number of restarts.
    pub restarts: u64,
    /// The reason of the last failure.
    pub last_error: Option<String>,
}

/// The health of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerHealth {
    /// The state of its circuit breaker.
    pub state: BreakerState,
    /// True if bundles wait while the breaker is not closed.
    pub holds_up: bool,
}

impl Status {
    /// Keeps a decision of the scaling policy, made at the wall-clock time `at`.
    pub(crate) fn decided(&self, decision: Decision, at: Timestamp) {
        self.decisions.lock().insert(decision.name.clone(), LastDecision { at, decision });
    }

    /// Returns the last decision of the scaling policy on each stage, by the stage's name.
    pub fn decisions(&self) -> BTreeMap<Arc<str>, LastDecision> {
        self.decisions.lock().clone()
    }

    /// Sets or clears a fault of the producers of the inputs.
    pub(crate) fn set_upstream(&self, subject: &'static str, wrong: Option<String>) {
        let mut upstream = self.upstream.lock();
        match wrong {
            Some(wrong) => upstream.insert(subject, wrong),
            None => upstream.remove(subject),
        };
    }

    /// Returns the faults of the producers of the inputs, by subject. They do not stop the pipeline.
    pub fn upstream(&self) -> BTreeMap<&'static str, String> {
        self.upstream.lock().clone()
    }

    /// Sets the reason of the pipeline's final failure; the first reason stays.
    pub fn set_failure(&self, why: &str) {
        self.failure.lock().get_or_insert_with(|| why.to_owned());
        self.change(PIPELINE, |actor| actor.state = State::Failed);
    }

    /// Sets the offsets read and all offsets to read.
    pub(crate) fn set_progress(&self, progress: (u64, u64)) {
        *self.progress.lock() = Some(progress);
    }

    /// Returns the offsets read, and all offsets to read, of a pipeline that ends by itself.
    pub fn progress(&self) -> Option<(u64, u64)> {
        *self.progress.lock()
    }

    /// Returns the number of the present pipeline.
    pub(crate) fn pipeline(&self) -> u64 {
        self.pipelines.load(Ordering::Acquire)
    }

    /// Returns true if bundles are in flight.
    pub fn is_busy(&self) -> bool {
        self.bundles_in_flight() > 0
    }

    /// Returns the number of closed bundles whose results are not acknowledged.
    pub fn bundles_in_flight(&self) -> usize {
        self.in_flight.lock().load(Ordering::Relaxed)
    }

    /// Returns the count of bundles in flight of the present pipeline.
    pub(crate) fn count_bundles(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.in_flight.lock())
    }

    /// Returns the present conditions, first those that make the pipeline unready.
    pub fn conditions(&self) -> Vec<Condition> {
        self.board.lock().held(Timestamp::now())
    }

    /// Logs lasting conditions again, so that a blocked pipeline is never silent for long. The caller calls it about once a
    /// second.
    pub fn say_again(&self) {
        if self.has_conditions.load(Ordering::Relaxed) {
            let due = self.board.lock().due(Timestamp::now());
            due.iter().for_each(log);
        }
    }

    /// Returns the reason of the pipeline's final failure.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Returns true if the pipeline takes records and makes results.
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

    /// Sets an actor's state to starting and counts a restart.
    pub fn starting(&self, who: &str) {
        self.change(who, |actor| {
            actor.restarts += u64::from(actor.state == State::Restarting);
            actor.state = State::Starting;
        });
    }

    /// Sets an actor's state to running.
    pub fn running(&self, who: &str) {
        self.change(who, |actor| actor.state = State::Running);
    }

    /// Sets an actor's state to restarting, with the reason.
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

    /// Sets the state of a step's breaker. `holds_up` is true if bundles wait while it is not closed.
    pub fn set_breaker(&self, step: &str, state: BreakerState, holds_up: bool) {
        self.breakers.lock().insert(step.to_owned(), BreakerHealth { state, holds_up });
    }

    /// Returns the desired and current number of a step's instances.
    pub fn instances_of(&self, step: &str) -> Arc<Instances> {
        Arc::clone(self.instances.lock().entry(step.to_owned()).or_default())
    }

    /// Returns the desired and current numbers of instances of every step.
    pub fn instances(&self) -> BTreeMap<String, Arc<Instances>> {
        self.instances.lock().clone()
    }

    /// Resets the health for a new pipeline.
    pub fn begin(&self) {
        self.pipelines.fetch_add(1, Ordering::AcqRel);
        self.running.store(false, Ordering::Relaxed);
        self.partitions.store(0, Ordering::Relaxed);
        *self.in_flight.lock() = Arc::default();
        // Actors that start again report so. An instance that does not would never be running and is forgotten here.
        let mut actors = self.actors.lock();
        let pipeline = actors.remove_entry(PIPELINE);
        self.past.lock().append(&mut actors);
        actors.extend(pipeline);
        drop(actors);
        self.shards.set_current(0);
        let mut board = self.board.lock();
        board.clear();
        self.has_conditions.store(false, Ordering::Release);
        drop(board);
        self.heartbeats.lock().clear();
        self.breakers.lock().clear();
        self.instances.lock().values().for_each(|instances| instances.begin());
    }

    /// Removes an actor that has ended as ordered.
    pub(crate) fn ended(&self, who: &str) {
        self.actors.lock().remove(who);
        self.heartbeats.lock().remove(who);
    }

    /// Creates the heartbeat of an actor that starts.
    pub(crate) fn heartbeat(&self, who: &str) -> Arc<Heartbeat> {
        let heartbeat = Arc::new(Heartbeat::default());
        self.heartbeats.lock().insert(who.to_owned(), heartbeat.clone());
        heartbeat
    }

    /// Returns the heartbeats of the actors whose names have this prefix.
    pub(crate) fn heartbeats_of(&self, prefix: &str) -> Vec<Arc<Heartbeat>> {
        let heartbeats = self.heartbeats.lock();
        heartbeats
            .iter()
            .filter(|(who, _)| who.starts_with(prefix))
            .map(|(_, heartbeat)| heartbeat.clone())
            .collect()
    }

    /// Returns the heartbeats of all actors.
    pub(crate) fn heartbeats(&self) -> Vec<(String, Arc<Heartbeat>)> {
        self.heartbeats.lock().iter().map(|(who, heartbeat)| (who.clone(), heartbeat.clone())).collect()
    }

    /// Returns the health of every actor and instance by name, and of the pipeline as a whole.
    pub fn actors(&self) -> BTreeMap<String, ActorHealth> {
        self.actors.lock().clone()
    }

    /// Returns the number of messages that were given to each actor and are not finished.
    pub fn pending_messages(&self) -> BTreeMap<String, u64> {
        self.heartbeats.lock().iter().map(|(who, heartbeat)| (who.clone(), heartbeat.left())).collect()
    }

    /// Returns the health of every step's model.
    pub fn breakers(&self) -> BTreeMap<String, BreakerHealth> {
        self.breakers.lock().clone()
    }
}

impl Conditions for Status {
    fn report(&self, work: Work, on: &str, cause: Cause) {
        let mut board = self.board.lock();
        self.has_conditions.store(true, Ordering::Release);
        let said = board.report(work, on, cause, Timestamp::now());
        drop(board);
        said.iter().for_each(log);
    }

    fn done(&self, work: Work, on: &str) {
        // This is called for each record, and mostly the board is empty.
        if !self.has_conditions.load(Ordering::Acquire) {
            return;
        }
        let mut board = self.board.lock();
        let said = board.progress(work, on, Timestamp::now());
        if board.is_empty() {
            self.has_conditions.store(false, Ordering::Release);
        }
        drop(board);
        said.iter().for_each(log);
    }
}

/// Logs a change of a condition.
fn log(ConditionEntry { condition, change }: &ConditionEntry) {
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
