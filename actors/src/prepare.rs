//! The prepare stage: fills the memory of a batch on the thread pool and reports bundles that cannot be prepared.

use std::sync::Arc;

use lockstep_engine::infer::job::{Job, StepOutcome, StepReport, StepTiming};
use lockstep_engine::time::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use crate::fill::{fill, fill_or_blame};
use crate::message::{Batch, QueuedBundle};
use crate::route::{Onward, Routes};
use crate::unit_runtime::UnitRuntime;

/// Prepares a batch. Bundles that cannot be prepared are reported as failed and the others go on without them. Returns
/// `None` if no bundle is left.
pub fn prepare(
    runtime: &UnitRuntime,
    routes: &Routes,
    mut waiting: Vec<QueuedBundle>,
    cut_at: Timestamp,
    slot: OwnedSemaphorePermit,
) -> Option<Batch> {
    let mut onward = Onward::default();
    let filled = loop {
        if waiting.is_empty() {
            break None;
        }
        let jobs: Vec<&Arc<Job>> = waiting.iter().map(|waiting| &waiting.job).collect();
        let failures = match fill_or_blame(&jobs, |jobs| fill(runtime, jobs)) {
            Ok(filled) => break Some(filled),
            Err(failures) => failures,
        };
        for (row, failure) in failures.into_iter().rev() {
            let failed = waiting.remove(row);
            let now = Timestamp::now();
            let timing = StepTiming {
                ready_at: failed.ready_at,
                cut_at,
                prepared_at: now,
                started_at: now,
                finished_at: now,
            };
            let report = StepReport { outcome: StepOutcome::Failed(failure), timing };
            onward.report(&failed.job, runtime.index(), report, &routes.graph, now);
        }
    };
    onward.send_blocking(routes);
    let (inputs, placements) = filled?;
    let jobs = waiting.into_iter().map(|waiting| (waiting.job, waiting.ready_at)).collect();
    let prepared_at = Timestamp::now();
    runtime.batch_prepared(prepared_at.since(cut_at));
    Some(Batch { jobs, inputs, placements, cut_at, prepared_at, slot })
}
