//! Offset-metadata pressure: pauses partitions whose many records ended out of order may not fit into the metadata of a commit.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::position::PartitionId;
use lockstep_engine::publish::Ledger;
use lockstep_engine::publish::ledger::MetadataPressure;
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

/// The time for which a slowed partition is read, and then paused.
const TURN: Duration = Duration::from_millis(20);

/// The partitions under pressure.
#[derive(Default)]
pub(super) struct PressureMonitor {
    partitions: Vec<(PartitionId, MetadataPressure)>,
    /// True while the slowed partitions are paused.
    slow_paused: bool,
    /// The time at which that changes; none without slowed partitions.
    next_turn: Option<Timestamp>,
}

impl PressureMonitor {
    /// Returns the partitions to pause, if they have changed since the last call.
    pub(super) fn decide(
        &mut self,
        ledger: &mut Ledger<Arc<Sample>>,
        now: Timestamp,
    ) -> Option<Vec<PartitionId>> {
        let reported = ledger.metadata_pressure();
        let turned = self.next_turn.is_some_and(|at| now >= at);
        if reported.is_none() && !turned {
            return None;
        }
        if let Some(pressed) = reported {
            let full = pressed.iter().filter(|(_, pressure)| *pressure == MetadataPressure::Full).count();
            telemetry::metadata_pressure(pressed.len() - full, full);
            tracing::debug!(
                slow = pressed.len() - full,
                paused = full,
                "partitions near the limit of commit metadata"
            );
            self.partitions = pressed;
        }
        let any_slow = self.partitions.iter().any(|(_, pressure)| *pressure == MetadataPressure::Slow);
        if turned || !any_slow {
            self.slow_paused = any_slow && !self.slow_paused;
        }
        if turned || self.next_turn.is_none() || !any_slow {
            self.next_turn = any_slow.then(|| now.after(TURN));
        }
        let paused = self
            .partitions
            .iter()
            .filter(|(_, pressure)| *pressure == MetadataPressure::Full || self.slow_paused);
        Some(paused.map(|(partition, _)| *partition).collect())
    }

    /// Returns the time at which slowed partitions are paused or resumed.
    pub(super) fn next_turn(&self) -> Option<Timestamp> {
        self.next_turn
    }
}
