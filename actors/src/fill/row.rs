//! The rows of one tensor, made in parallel. A fault or a panic in one row fails that row alone.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use lockstep_engine::align::Part;
use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::infer::job::{Job, StepFailure};
use lockstep_engine::position::InputId;
use lockstep_engine::preprocess::{Preprocessor, RowFault, RowInfo, RowMut, Scratch};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use rayon::prelude::*;

use crate::decoding::Decoding;
use crate::panic_text::panic_text;

thread_local! {
    /// Memory that each thread of the pool reuses.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Makes the rows of one tensor.
pub(super) struct RowMaker<'a> {
    pub(super) input: InputId,
    /// The name of the input.
    pub(super) name: &'a str,
    pub(super) preprocessor: &'a Preprocessor,
    pub(super) decoding: &'a Decoding,
}

impl RowMaker<'_> {
    /// Fills each row from the job at the same place.
    pub(super) fn fill(
        &self,
        rows: Vec<RowMut<'_>>,
        jobs: &[&Arc<Job>],
    ) -> Vec<Result<RowInfo, StepFailure>> {
        each(rows, jobs, self.preprocessor.rows_per_task(), |row, job| {
            let Some(part) = job.bundle.parts.get(self.input.index()) else {
                let message = format!("the bundle has no part for input {}", self.input.0);
                return Err(StepFailure { fault: undecodable(message), culprit: None });
            };
            let made = apart(|| self.make(part, row)).unwrap_or_else(|panic| {
                // The panic may have left the scratch memory half written.
                SCRATCH.with_borrow_mut(|scratch| *scratch = Scratch::default());
                let message = format!("decoding it panicked: {}", panic_text(panic.as_ref()));
                Err(RowFault { sample: self.preprocessor.sole_sample(part), fault: undecodable(message) })
            });
            made.map_err(|found| StepFailure {
                culprit: found
                    .sample
                    .and_then(|sample| part.samples.get(sample))
                    .map(|sample| sample.position()),
                fault: found.fault,
            })
        })
    }

    fn make(&self, part: &Part<Arc<Sample>>, row: RowMut<'_>) -> Result<RowInfo, RowFault> {
        let memory = self.preprocessor.memory(part)?;
        let reservation = match memory {
            0 => None,
            memory => Some(self.decoding.reserve(memory)),
        };
        let _reservation = reservation
            .transpose()
            .map_err(|fault| RowFault { sample: self.preprocessor.sole_sample(part), fault })?;
        let made = SCRATCH.with_borrow_mut(|scratch| self.preprocessor.write_row(part, row, scratch));
        if part.samples.iter().any(|sample| sample.damage.count_once()) {
            telemetry::pictures::damaged(self.name);
        }
        made
    }
}

/// Makes each row from the job at the same place, in parallel.
fn each<T: Sync>(
    rows: Vec<RowMut<'_>>,
    jobs: &[T],
    rows_per_task: usize,
    make: impl Fn(RowMut<'_>, &T) -> Result<RowInfo, StepFailure> + Sync,
) -> Vec<Result<RowInfo, StepFailure>> {
    rows.into_par_iter()
        .zip(jobs)
        .with_min_len(rows_per_task)
        .map(|(row, job)| {
            apart(|| make(row, job)).unwrap_or_else(|panic| {
                let message = format!("preparing it panicked: {}", panic_text(panic.as_ref()));
                Err(StepFailure { fault: undecodable(message), culprit: None })
            })
        })
        .collect()
}

/// Catches and counts a panic of `work`.
pub(super) fn apart<T>(work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(work)).inspect_err(|_| telemetry::panicked("prepare"))
}

pub(super) fn undecodable(message: String) -> Fault {
    Fault::new(StageKind::Preprocess, Reason::Undecodable, message)
}

#[cfg(test)]
mod tests {
    use lockstep_engine::preprocess::rows;
    use lockstep_engine::tensor::{DType, Tensor};

    use super::*;

    #[test]
    fn row_maker_fails_only_the_row_that_panics() {
        let mut tensor = Tensor::zeros(DType::U8, &[64, 4]);
        let jobs: Vec<u8> = (0..64).collect();
        let made = each(rows(&mut tensor), &jobs, 4, |row, job| {
            assert!(job % 21 != 20, "payload {job} is poison");
            let RowMut::U8(row) = row else { panic!("of another type") };
            row.fill(*job);
            Ok(RowInfo::Bytes)
        });
        for (job, made) in jobs.iter().zip(made) {
            match made {
                Ok(_) => assert!(job % 21 != 20),
                Err(failure) => {
                    let expected = format!("preparing it panicked: payload {job} is poison");
                    assert_eq!((job % 21, failure.fault.message), (20, expected));
                }
            }
        }
        let filled = tensor.elements::<u8>().expect("bytes");
        assert!(filled.chunks(4).zip(0u8..).all(|(row, job)| job % 21 == 20 || row == [job; 4]));
    }
}
