//! Stall detection over the heartbeats of a pipeline's actors.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::supervision::stall::StallTimer;
use lockstep_engine::time::Timestamp;

use crate::heartbeat::Heartbeat;
use crate::status::Status;

/// Finds stalled actors by their heartbeats.
pub(crate) struct StallDetector {
    actors: Vec<(String, Arc<Heartbeat>, StallTimer)>,
    limit: Duration,
}

impl StallDetector {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { actors: Vec::new(), limit }
    }

    /// Adds actors that have begun and removes those that have ended.
    fn update_actors(&mut self, status: &Status) {
        let heartbeats = status.heartbeats();
        let is_present =
            |heartbeat: &Arc<Heartbeat>| heartbeats.iter().any(|(_, other)| Arc::ptr_eq(heartbeat, other));
        self.actors.retain(|(_, heartbeat, _)| is_present(heartbeat));
        for (who, heartbeat) in heartbeats {
            if !self.actors.iter().any(|(_, known, _)| Arc::ptr_eq(known, &heartbeat)) {
                self.actors.push((who, heartbeat, StallTimer::default()));
            }
        }
    }

    /// Returns the period of checks, short enough that no actor stalls for much longer than the limit unseen.
    pub(crate) fn every(&self) -> Duration {
        (self.limit / 4).max(Duration::from_millis(1))
    }

    /// Returns a stalled actor and a description: the time since its last progress and its pending messages.
    pub(crate) fn stalled(&mut self, status: &Status, now: Timestamp) -> Option<(&str, String)> {
        self.update_actors(status);
        let limit = self.limit;
        self.actors.iter_mut().find_map(|(who, heartbeat, progress)| {
            let tally = heartbeat.tally();
            let stalled = progress.look(tally, now, limit)?;
            let left = tally.given - tally.done;
            let why = format!("the actor has stalled for {stalled:.1?} with {left} messages pending");
            Some((who.as_str(), why))
        })
    }
}
