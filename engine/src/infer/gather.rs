//! The rows of a step that runs once per detection, from the detections of a bundle to the one report of the bundle.
//!
//! Rows end in any order and in several batches. The report is made when the last row has ended, so it comes once.

use std::sync::{Mutex, PoisonError};

use crate::infer::report::{DetectionOutput, StepFailure, StepOutcome, StepReport};
use crate::preprocess::Detection;

/// The rows of one bundle at one step.
#[derive(Debug)]
pub struct Gather {
    /// The view that shows the detections, as `faces.faces`.
    of: String,
    detections: Vec<ChosenDetection>,
    left_out: usize,
    rows: Mutex<GatheredRows>,
}

/// A detection that has a row.
#[derive(Clone, Debug, PartialEq)]
pub struct ChosenDetection {
    /// Its index in the view.
    pub place: usize,
    /// The detection.
    pub found: Detection,
}

#[derive(Debug)]
struct GatheredRows {
    reports: Vec<Option<StepReport>>,
    missing: usize,
}

impl Gather {
    /// A row for each detection. Of more than `most`, those with the best scores have one, and among equals the earlier ones.
    /// They stay in their order. None if there are no detections.
    pub fn new(of: &str, found: Vec<Detection>, most: usize) -> Option<Self> {
        let count = found.len();
        let mut detections: Vec<ChosenDetection> =
            found.into_iter().enumerate().map(|(place, found)| ChosenDetection { place, found }).collect();
        let most = most.max(1);
        if count > most {
            detections.sort_by(|a, b| b.found.score.total_cmp(&a.found.score).then(a.place.cmp(&b.place)));
            detections.truncate(most);
            detections.sort_unstable_by_key(|detection| detection.place);
        }
        let rows = detections.len();
        let reports = std::iter::repeat_with(|| None).take(rows).collect();
        (rows > 0).then(|| Self {
            of: of.to_owned(),
            detections,
            left_out: count - rows,
            rows: Mutex::new(GatheredRows { reports, missing: rows }),
        })
    }

    /// The view that shows the detections.
    pub fn of(&self) -> &str {
        &self.of
    }

    /// The detections, one for each row.
    pub fn detections(&self) -> &[ChosenDetection] {
        &self.detections
    }

    /// The number of detections that have no row because there are too many.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Stores the report of a row. Returns the report of the bundle if it was the last one. A second report of the same row
    /// is ignored.
    pub fn report(&self, row: usize, report: StepReport) -> Option<StepReport> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let GatheredRows { reports, missing } = &mut *rows;
        let slot = reports.get_mut(row).filter(|slot| slot.is_none())?;
        if *missing == 0 {
            return None;
        }
        *slot = Some(report);
        *missing -= 1;
        if *missing > 0 {
            return None;
        }
        let reports = std::mem::take(reports);
        drop(rows);
        self.whole(reports.into_iter().flatten().collect())
    }

    /// The report of the bundle. The row that ended last sets the times, since the next steps waited for it.
    fn whole(&self, reports: Vec<StepReport>) -> Option<StepReport> {
        let timing = reports.iter().map(|report| report.timing).max_by_key(|timing| timing.finished_at)?;
        let mut rows = Vec::with_capacity(reports.len());
        for (detection, report) in self.detections.iter().zip(reports) {
            match report.outcome {
                StepOutcome::Done { output, placement } => rows.push(DetectionOutput { output, placement }),
                StepOutcome::Failed(failure) => {
                    let outcome = StepOutcome::Failed(self.of_detection(detection.place, failure));
                    return Some(StepReport { outcome, timing });
                }
                // A row is run or fails: no rule skips it, and it has no rows of its own.
                outcome @ (StepOutcome::Skipped(_) | StepOutcome::DoneEach(_)) => {
                    return Some(StepReport { outcome, timing });
                }
            }
        }
        Some(StepReport { outcome: StepOutcome::DoneEach(rows), timing })
    }

    fn of_detection(&self, place: usize, mut failure: StepFailure) -> StepFailure {
        let message = &failure.fault.message;
        failure.fault.message = format!("detection {place} of {}: {message}", self.of);
        failure
    }
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
