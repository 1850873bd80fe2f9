//! The prepare stage: fills the memory of a batch on the thread pool and reports rows that cannot be prepared.

use lockstep_engine::infer::job::{StepOutcome, StepReport, StepTiming};
use lockstep_engine::time::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use crate::fill::{fill, fill_or_blame};
use crate::message::{Batch, BatchRow, QueuedRow};
use crate::route::{Onward, Routes};
use crate::unit_runtime::UnitRuntime;

/// Prepares a batch. Rows that cannot be prepared are reported as failed and the others go on without them. Returns
/// `None` if no row is left.
pub fn prepare(
    runtime: &UnitRuntime,
    routes: &Routes,
    mut waiting: Vec<QueuedRow>,
    cut_at: Timestamp,
    slot: OwnedSemaphorePermit,
) -> Option<Batch> {
    let mut onward = Onward::default();
    let filled = loop {
        if waiting.is_empty() {
            break None;
        }
        let rows: Vec<&BatchRow> = waiting.iter().map(|waiting| &waiting.row).collect();
        let failures = match fill_or_blame(&rows, |rows| fill(runtime, rows)) {
            Ok(filled) => break Some(filled),
            Err(failures) => failures,
        };
        for (row, failure) in failures.into_iter().rev() {
            let failed = waiting.remove(row).row;
            let now = Timestamp::now();
            let timing = StepTiming {
                ready_at: failed.ready_at,
                cut_at,
                prepared_at: now,
                started_at: now,
                finished_at: now,
            };
            let report = StepReport { outcome: StepOutcome::Failed(failure), timing };
            onward.report(&failed.job, (runtime.index(), failed.number), report, &routes.graph, now);
        }
    };
    onward.send_blocking(routes);
    let (inputs, placements) = filled?;
    let rows = waiting.into_iter().map(|waiting| waiting.row).collect();
    let prepared_at = Timestamp::now();
    runtime.batch_prepared(prepared_at.since(cut_at));
    Some(Batch { rows, inputs, placements, cut_at, prepared_at, slot })
}
