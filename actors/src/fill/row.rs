//! The rows of one tensor, made in parallel. A fault or a panic in one row fails that row alone.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use lockstep_engine::align::Part;
use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::infer::gather::Gather;
use lockstep_engine::infer::job::{Job, StepFailure};
use lockstep_engine::infer::step::{BindingSource, OnMissing};
use lockstep_engine::position::InputId;
use lockstep_engine::preprocess::{Preprocessor, RowFault, RowInfo, RowMut, Scratch};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use rayon::prelude::*;

use crate::decoding::{DecodeReservation, Decoding};
use crate::message::BatchRow;
use crate::panic_text::panic_text;

thread_local! {
    /// Memory that each thread of the pool reuses.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Makes the rows of one tensor.
pub(super) struct RowMaker<'a> {
    /// The place of the step in the pipeline.
    pub(super) step: usize,
    pub(super) input: InputId,
    /// The name of the input.
    pub(super) name: &'a str,
    pub(super) preprocessor: &'a Preprocessor,
    pub(super) decoding: &'a Decoding,
    /// The treatment of bundles without a sample.
    pub(super) missing: OnMissing,
}

impl RowMaker<'_> {
    /// Fills each row from the batch's row at the same place. A row that is zeros for lack of a sample has no properties.
    pub(super) fn fill(
        &self,
        rows: Vec<RowMut<'_>>,
        batch: &[&BatchRow],
    ) -> Vec<Result<Option<RowInfo>, StepFailure>> {
        if self.preprocessor.shows_detections() {
            return self.fill_crops(rows, batch);
        }
        each(rows, batch, self.preprocessor.rows_per_task(), |mut row, of| {
            if self.is_zeros(&of.job) {
                row.clear();
                return Ok(None);
            }
            let part = self.part(&of.job)?;
            let made = self.caught(part, || self.make(part, row));
            made.map(Some).map_err(|found| failure(part, found))
        })
    }

    /// True if the tensor is zeros for this bundle, which has no sample of the input.
    fn is_zeros(&self, job: &Job) -> bool {
        self.missing == OnMissing::Zeros && !job.has(BindingSource::Input(self.input))
    }

    /// Fills rows with detections. Those of one bundle are made together, so that their image is decoded once.
    fn fill_crops(
        &self,
        rows: Vec<RowMut<'_>>,
        batch: &[&BatchRow],
    ) -> Vec<Result<Option<RowInfo>, StepFailure>> {
        let mut bundles: Vec<BundleCrops<'_>> = Vec::new();
        for (place, (row, of)) in rows.into_iter().zip(batch).enumerate() {
            let crop = (place, of.number, row);
            match bundles.iter_mut().find(|bundle| bundle.job.id == of.job.id) {
                Some(bundle) => bundle.crops.push(crop),
                None => bundles.push(BundleCrops { job: &of.job, crops: vec![crop] }),
            }
        }
        let made: Vec<(usize, Result<Option<RowInfo>, StepFailure>)> =
            bundles.into_par_iter().flat_map_iter(|bundle| self.crops_of(bundle)).collect();
        let missing = || {
            let message = "preparing it ended without a result".to_owned();
            Err(StepFailure { fault: undecodable(message), culprit: None })
        };
        let mut outcomes: Vec<_> = batch.iter().map(|_| missing()).collect();
        for (place, outcome) in made {
            if let Some(slot) = outcomes.get_mut(place) {
                *slot = outcome;
            }
        }
        outcomes
    }

    /// Makes the rows of one bundle, each with its place in the batch.
    fn crops_of(&self, bundle: BundleCrops<'_>) -> Vec<(usize, Result<Option<RowInfo>, StepFailure>)> {
        if self.is_zeros(bundle.job) {
            let zeros = |(place, _, mut row): (usize, usize, RowMut<'_>)| {
                row.clear();
                (place, Ok(None))
            };
            return bundle.crops.into_iter().map(zeros).collect();
        }
        let places: Vec<usize> = bundle.crops.iter().map(|(place, ..)| *place).collect();
        let made = self.part(bundle.job).and_then(|part| {
            let made = self.caught(part, || self.make_crops(part, bundle));
            made.map_err(|found| failure(part, found))
        });
        match made {
            Ok(made) => {
                let alone = |fault: RowFault| StepFailure { fault: fault.fault, culprit: None };
                places.into_iter().zip(made.into_iter().map(|made| made.map(Some).map_err(alone))).collect()
            }
            Err(failure) => places.into_iter().map(|place| (place, Err(failure.clone()))).collect(),
        }
    }

    fn make_crops(
        &self,
        part: &Part<Arc<Sample>>,
        bundle: BundleCrops<'_>,
    ) -> Result<Vec<Result<RowInfo, RowFault>>, RowFault> {
        let found = bundle.job.gather(self.step).map(Gather::detections).unwrap_or_default();
        let crops = bundle.crops.into_iter().map(|(_, number, row)| Some((row, &found.get(number)?.found)));
        let Some(crops) = crops.collect::<Option<Vec<_>>>() else {
            let fault = undecodable("the bundle has no such detection".to_owned());
            return Err(RowFault { sample: None, fault });
        };
        let detections: Vec<_> = crops.iter().map(|(_, detection)| *detection).collect();
        let _reservation = self.reserve(part, self.preprocessor.crops_memory(part, &detections)?)?;
        let made = SCRATCH.with_borrow_mut(|scratch| self.preprocessor.write_crops(part, crops, scratch));
        self.count_damage(part);
        made
    }

    fn part<'j>(&self, job: &'j Job) -> Result<&'j Part<Arc<Sample>>, StepFailure> {
        job.bundle.parts.get(self.input.index()).ok_or_else(|| {
            let message = format!("the bundle has no part for input {}", self.input.0);
            StepFailure { fault: undecodable(message), culprit: None }
        })
    }

    /// Turns a panic of `make` into a fault of the sample.
    fn caught<T>(
        &self,
        part: &Part<Arc<Sample>>,
        make: impl FnOnce() -> Result<T, RowFault>,
    ) -> Result<T, RowFault> {
        apart(make).unwrap_or_else(|panic| {
            // The panic may have left the scratch memory half written.
            SCRATCH.with_borrow_mut(|scratch| *scratch = Scratch::default());
            let message = format!("decoding it panicked: {}", panic_text(panic.as_ref()));
            Err(RowFault { sample: self.preprocessor.sole_sample(part), fault: undecodable(message) })
        })
    }

    fn make(&self, part: &Part<Arc<Sample>>, row: RowMut<'_>) -> Result<RowInfo, RowFault> {
        let _reservation = self.reserve(part, self.preprocessor.memory(part)?)?;
        let made = SCRATCH.with_borrow_mut(|scratch| self.preprocessor.write_row(part, row, scratch));
        self.count_damage(part);
        made
    }

    /// Reserves memory for decoding; none is needed for 0 bytes.
    fn reserve(&self, part: &Part<Arc<Sample>>, memory: u64) -> Result<Option<DecodeReservation>, RowFault> {
        let reservation = (memory > 0).then(|| self.decoding.reserve(memory)).transpose();
        reservation.map_err(|fault| RowFault { sample: self.preprocessor.sole_sample(part), fault })
    }

    fn count_damage(&self, part: &Part<Arc<Sample>>) {
        if part.samples.iter().any(|sample| sample.damage.count_once()) {
            telemetry::pictures::damaged(self.name);
        }
    }
}

/// The rows of one bundle in a batch.
struct BundleCrops<'a> {
    job: &'a Arc<Job>,
    /// Each row with its place in the batch and its number among those of the bundle.
    crops: Vec<(usize, usize, RowMut<'a>)>,
}

fn failure(part: &Part<Arc<Sample>>, found: RowFault) -> StepFailure {
    let culprit = found.sample.and_then(|sample| part.samples.get(sample));
    StepFailure { culprit: culprit.map(|sample| sample.position()), fault: found.fault }
}

/// Makes each row from the job at the same place, in parallel.
pub(super) fn each<T: Sync, I: Send>(
    rows: Vec<RowMut<'_>>,
    jobs: &[T],
    rows_per_task: usize,
    make: impl Fn(RowMut<'_>, &T) -> Result<I, StepFailure> + Sync,
) -> Vec<Result<I, StepFailure>> {
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
