//! The report of a step on a bundle or on one row of it: outcome and times.

use crate::fault::Fault;
use crate::infer::rows::StepOutput;
use crate::position::Position;
use crate::preprocess::Placement;
use crate::time::Timestamp;

/// The report of one step on a bundle, or on one row of it.
#[derive(Debug)]
pub struct StepReport {
    /// The outcome.
    pub outcome: StepOutcome,
    /// The times of its parts.
    pub timing: StepTiming,
}

/// The outcome of a step for one bundle.
#[derive(Debug)]
pub enum StepOutcome {
    /// The model ran.
    Done {
        /// The model's outputs.
        output: StepOutput,
        /// The position of the source image in the model's input, if it takes one.
        placement: Option<Placement>,
    },
    /// The model ran once for each detection.
    DoneEach(Vec<DetectionOutput>),
    /// The step does not run on this bundle, as configured: an input is missing, an earlier step was skipped, or the step's
    /// condition does not hold.
    Skipped(String),
    /// The step failed.
    Failed(StepFailure),
}

/// The outcome of a step for one detection.
#[derive(Debug)]
pub struct DetectionOutput {
    /// The model's outputs.
    pub output: StepOutput,
    /// The position of the source image in the model's input, if it takes one that is not turned.
    pub placement: Option<Placement>,
}

/// A fault of a bundle.
#[derive(Clone, Debug)]
pub struct StepFailure {
    /// The fault.
    pub fault: Fault,
    /// The sample that caused the fault, if known.
    pub culprit: Option<Position>,
}

/// The times of a step, in wall time; all equal if the step did not run.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepTiming {
    /// All inputs were available.
    pub ready_at: Timestamp,
    /// The batch was cut.
    pub cut_at: Timestamp,
    /// The batch's memory was filled.
    pub prepared_at: Timestamp,
    /// The model began.
    pub started_at: Timestamp,
    /// The model finished.
    pub finished_at: Timestamp,
}
