//! The heartbeat of an actor: what it was given and what of it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lockstep_engine::supervision::stall::{Progress, Tally};
use lockstep_engine::time::Timestamp;

use crate::status::Status;

/// Counts an actor's work.
#[derive(Debug, Default)]
pub struct Heartbeat {
    given: AtomicU64,
    done: AtomicU64,
    waits: AtomicBool,
    /// Nanoseconds.
    busy: AtomicU64,
}

impl Heartbeat {
    /// A message is on its way to it, or it does something of itself.
    pub(crate) fn given(&self) {
        self.given.fetch_add(1, Ordering::Relaxed);
    }

    /// It has done one of these, and all that it had to say has been taken.
    pub(crate) fn done(&self) {
        self.waits.store(false, Ordering::Relaxed);
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// It waits for another to take what it has to say.
    pub(crate) fn waits(&self) {
        self.waits.store(true, Ordering::Relaxed);
    }

    /// It has worked for so long, apart from waiting for others.
    pub(crate) fn worked(&self, time: Duration) {
        self.busy.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// For how long it has worked until now.
    pub(crate) fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy.load(Ordering::Relaxed))
    }

    /// How much it has been given that it has not done.
    pub(crate) fn left(&self) -> u64 {
        let tally = self.tally();
        tally.given.saturating_sub(tally.done)
    }

    fn tally(&self) -> Tally {
        Tally {
            given: self.given.load(Ordering::Relaxed),
            done: self.done.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
        }
    }
}

/// Feels the heartbeats of a pipeline's actors.
pub(crate) struct Pulses {
    actors: Vec<(String, Arc<Heartbeat>, Progress)>,
    limit: Duration,
}

impl Pulses {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { actors: Vec::new(), limit }
    }

    /// Feels for actors that have begun, and no more for those that have ended.
    fn look_around(&mut self, status: &Status) {
        let heartbeats = status.heartbeats();
        let is_there =
            |heartbeat: &Arc<Heartbeat>| heartbeats.iter().any(|(_, other)| Arc::ptr_eq(heartbeat, other));
        self.actors.retain(|(_, heartbeat, _)| is_there(heartbeat));
        for (who, heartbeat) in heartbeats {
            if !self.actors.iter().any(|(_, known, _)| Arc::ptr_eq(known, &heartbeat)) {
                self.actors.push((who, heartbeat, Progress::default()));
            }
        }
    }

    /// How often to look, so that nobody stands still for much longer than the limit before it is seen.
    pub(crate) fn every(&self) -> Duration {
        (self.limit / 4).max(Duration::from_millis(1))
    }

    /// Who stands still, and since when with how much to do.
    pub(crate) fn still(&mut self, status: &Status, now: Timestamp) -> Option<(&str, String)> {
        self.look_around(status);
        let limit = self.limit;
        self.actors.iter_mut().find_map(|(who, heartbeat, progress)| {
            let tally = heartbeat.tally();
            let still = progress.look(tally, now, limit)?;
            let left = tally.given - tally.done;
            let why = format!("it has stood still for {still:.1?} with {left} messages to deal with");
            Some((who.as_str(), why))
        })
    }
}
