//! The rows of one tensor that are made of the texts that an earlier step shows.

use lockstep_engine::infer::condition::{ShownOperand, ShownValue};
use lockstep_engine::infer::job::{Graph, Job, StepFailure};
use lockstep_engine::infer::step::{BindingSource, OnMissing};
use lockstep_engine::preprocess::{Preprocessor, RowMut};

use super::row::{each, undecodable};
use crate::message::BatchRow;

/// Makes the rows of one tensor.
pub(super) struct TextMaker<'a> {
    pub(super) text: &'a ShownOperand,
    pub(super) preprocessor: &'a Preprocessor,
    /// The treatment of bundles without the text.
    pub(super) missing: OnMissing,
    pub(super) graph: &'a Graph,
}

impl TextMaker<'_> {
    /// Fills each row from the batch's row at the same place.
    pub(super) fn fill(&self, rows: Vec<RowMut<'_>>, batch: &[&BatchRow]) -> Vec<Result<(), StepFailure>> {
        each(rows, batch, self.preprocessor.rows_per_task(), |row, of| self.make(&of.job, row))
    }

    fn make(&self, job: &Job, mut row: RowMut<'_>) -> Result<(), StepFailure> {
        if self.missing == OnMissing::Zeros && !job.has(BindingSource::Step(self.text.step)) {
            row.clear();
            return Ok(());
        }
        let fault = match job.shown(self.text, self.graph) {
            Ok(ShownValue::Text(text)) => match self.preprocessor.write_text(&text, row) {
                Ok(_) => return Ok(()),
                Err(found) => found.fault,
            },
            Ok(value) => undecodable(format!("{} is {value}, no text", self.text)),
            Err(reason) => undecodable(reason),
        };
        Err(StepFailure { fault, culprit: None })
    }
}
