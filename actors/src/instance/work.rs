//! One batch on its way through an instance, whole or in parts.

use std::ops::Range;
use std::sync::Arc;

use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::infer::job::{Graph, Job, StepFailure, StepOutcome, StepReport, StepTiming};
use lockstep_engine::infer::retry::Remaining;
use lockstep_engine::preprocess::Placement;
use lockstep_engine::tensor::Tensor;
use lockstep_engine::time::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use super::call::Failed;
use crate::fill::fill;
use crate::message::{Batch, BatchRow};
use crate::route::Onward;
use crate::unit_runtime::UnitRuntime;

/// A batch that has not ended.
pub(super) struct BatchRun {
    rows: Vec<BatchRow>,
    placements: Vec<Option<Placement>>,
    /// The inputs of the whole batch, until they are used.
    inputs: Option<Vec<Option<Tensor>>>,
    cut_at: Timestamp,
    prepared_at: Timestamp,
    slot: Option<OwnedSemaphorePermit>,
    pub(super) remaining: Remaining,
    /// The number of times that the device was lost during this batch.
    losses: u32,
}

impl BatchRun {
    pub(super) fn new(batch: Batch, tries: u32) -> Self {
        let Batch { rows, inputs, placements, cut_at, prepared_at, slot } = batch;
        Self {
            remaining: Remaining::new(rows.len(), tries),
            rows,
            placements,
            inputs: Some(inputs),
            cut_at,
            prepared_at,
            slot: Some(slot),
            losses: 0,
        }
    }

    /// Returns the bundles in these rows.
    pub(super) fn jobs(&self, rows: &Range<usize>) -> impl Iterator<Item = &Arc<Job>> {
        self.rows.get(rows.clone()).unwrap_or_default().iter().map(|row| &row.job)
    }

    /// Returns the inputs of these rows: the first fill for the whole batch, else a new one, since a model may have taken the
    /// memory.
    ///
    /// # Errors
    /// The fault of the first row that cannot be filled.
    pub(super) fn inputs(
        &mut self,
        runtime: &UnitRuntime,
        rows: &Range<usize>,
    ) -> Result<Vec<Option<Tensor>>, Failed> {
        match self.inputs.take() {
            Some(inputs) if *rows == (0..self.rows.len()) => return Ok(inputs),
            Some(inputs) => runtime.tensors.give(inputs.into_iter().flatten()),
            None => {}
        }
        let rows: Vec<&BatchRow> = self.rows.get(rows.clone()).unwrap_or_default().iter().collect();
        match fill(runtime, &rows) {
            Ok((inputs, _)) => Ok(inputs),
            Err(failures) => Err(Failed::Batch(
                failures
                    .first()
                    .map_or_else(String::new, |(_, failure)| format!("inputs: {}", failure.fault.message)),
            )),
        }
    }

    /// Records the outcome of a row and the next steps of its bundle.
    pub(super) fn report(
        &self,
        row: usize,
        outcome: impl FnOnce(Option<Placement>) -> StepOutcome,
        (started_at, finished_at): (Timestamp, Timestamp),
        (step, graph): (usize, &Graph),
        onward: &mut Onward,
    ) {
        let Some(BatchRow { job, number, ready_at }) = self.rows.get(row) else { return };
        let (ready_at, cut_at, prepared_at) = (*ready_at, self.cut_at, self.prepared_at);
        let timing = StepTiming { ready_at, cut_at, prepared_at, started_at, finished_at };
        let placement = self.placements.get(row).copied().flatten();
        let report = StepReport { outcome: outcome(placement), timing };
        onward.report(job, (step, *number), report, graph, finished_at);
    }

    /// Fails the bundle of a row after `tries` tries of it alone.
    pub(super) fn fail(
        &self,
        row: usize,
        why: &str,
        tries: u32,
        (runtime, graph): (&UnitRuntime, &Graph),
        onward: &mut Onward,
    ) {
        let message = format!("step {}: {why}", runtime.id.step());
        let fault = Fault::new(StageKind::Infer, Reason::ModelFailed, message).after_attempts(tries);
        let failed = StepOutcome::Failed(StepFailure { fault, culprit: None });
        let now = Timestamp::now();
        self.report(row, |_| failed, (now, now), (runtime.index(), graph), onward);
    }

    /// Counts a lost device. Returns true if it was lost before during this batch.
    pub(super) fn lost_again(&mut self) -> bool {
        self.losses += 1;
        self.losses > 1
    }

    /// Releases the slot when no row is left, so that the next batch can be cut while the results of this one are being sent.
    pub(super) fn release_if_done(&mut self) {
        if self.remaining.next().is_none() {
            self.slot = None;
        }
    }
}
