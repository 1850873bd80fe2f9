//! Partitions of which so much has ended out of order that they must be read more slowly, or not at all.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::position::PartitionId;
use lockstep_engine::publish::Ledger;
use lockstep_engine::publish::ledger::MetadataPressure;
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

/// How long a partition that is read slowly is read, and then not read.
const TURN: Duration = Duration::from_millis(20);

/// What the ledger has told of crowded partitions.
#[derive(Default)]
pub(super) struct PressureMonitor {
    partitions: Vec<(PartitionId, MetadataPressure)>,
    /// Whether the slow ones are paused just now.
    slow_paused: bool,
    /// When that changes; none without slow ones.
    next_turn: Option<Timestamp>,
}

impl PressureMonitor {
    /// The partitions to be paused, if these are others than when last asked.
    pub(super) fn decide(
        &mut self,
        ledger: &mut Ledger<Arc<Sample>>,
        now: Timestamp,
    ) -> Option<Vec<PartitionId>> {
        let told = ledger.crowded();
        let turned = self.next_turn.is_some_and(|at| now >= at);
        if told.is_none() && !turned {
            return None;
        }
        if let Some(crowded) = told {
            let full = crowded.iter().filter(|(_, how)| *how == MetadataPressure::Full).count();
            telemetry::metadata_pressure(crowded.len() - full, full);
            tracing::debug!(
                slow = crowded.len() - full,
                paused = full,
                "partitions whose map nears the limit"
            );
            self.partitions = crowded;
        }
        let any_slow = self.partitions.iter().any(|(_, how)| *how == MetadataPressure::Slow);
        if turned || !any_slow {
            self.slow_paused = any_slow && !self.slow_paused;
        }
        if turned || self.next_turn.is_none() || !any_slow {
            self.next_turn = any_slow.then(|| now.after(TURN));
        }
        let paused =
            self.partitions.iter().filter(|(_, how)| *how == MetadataPressure::Full || self.slow_paused);
        Some(paused.map(|(partition, _)| *partition).collect())
    }

    /// When the slow ones are to be read again, or not.
    pub(super) fn next_turn(&self) -> Option<Timestamp> {
        self.next_turn
    }
}
