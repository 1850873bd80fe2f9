//! The source of each tensor of a model's inputs: samples, earlier steps, stream state, zeros, or a mask of what is there.

use crate::infer::condition::ShownOperand;
use crate::position::InputId;
use crate::preprocess::Preprocess;

/// The source of one tensor of a model's inputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Binding {
    /// Samples of the bundle.
    Input {
        /// The input.
        input: InputId,
        /// The preprocessing of its samples.
        preprocess: Preprocess,
        /// The treatment of bundles without a sample.
        missing: OnMissing,
    },
    /// An earlier step's output, row by row.
    Output {
        /// The index of the step in the pipeline.
        step: usize,
        /// The index of the output in its signature.
        output: usize,
        /// The treatment of bundles for which that step was skipped.
        missing: OnMissing,
    },
    /// The row of the detection in a ragged output of the step that found it.
    DetectionRow {
        /// The index of that step in the pipeline.
        step: usize,
        /// The index of the output in its signature.
        output: usize,
    },
    /// The text that an earlier step shows.
    ShownText {
        /// The text.
        text: ShownOperand,
        /// The tokenization.
        preprocess: Preprocess,
        /// The treatment of bundles for which that step was skipped.
        missing: OnMissing,
    },
    /// Stream state from the stream's last bundle; zeros at first.
    State {
        /// The index of the output in this step's own signature.
        output: usize,
    },
    /// Always zeros: a recurrent model used without memory.
    Zeros,
    /// A mask: 1 for each of some other tensors that was made from its source, 0 if it is zeros instead.
    Presence {
        /// The indices of those tensors among the model's inputs.
        inputs: Vec<usize>,
    },
}

/// The treatment of bundles in which the source of a tensor is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMissing {
    /// The step is skipped.
    #[default]
    Skip,
    /// The tensor is zeros.
    Zeros,
}

/// The part of a bundle that a tensor is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingSource {
    /// The samples of an input.
    Input(InputId),
    /// What an earlier step gives.
    Step(usize),
}

impl Binding {
    /// The preprocessing that makes the tensor, if it is made of samples or of a text.
    pub fn preprocess(&self) -> Option<&Preprocess> {
        match self {
            Self::Input { preprocess, .. } | Self::ShownText { preprocess, .. } => Some(preprocess),
            Self::Output { .. }
            | Self::DetectionRow { .. }
            | Self::State { .. }
            | Self::Zeros
            | Self::Presence { .. } => None,
        }
    }

    /// Its source in the bundle, and the treatment of bundles in which that is missing. State, zeros and masks have none.
    pub fn source(&self) -> Option<(BindingSource, OnMissing)> {
        match self {
            Self::Input { input, missing, .. } => Some((BindingSource::Input(*input), *missing)),
            Self::Output { step, missing, .. } => Some((BindingSource::Step(*step), *missing)),
            Self::DetectionRow { step, .. } => Some((BindingSource::Step(*step), OnMissing::Skip)),
            Self::ShownText { text, missing, .. } => Some((BindingSource::Step(text.step), *missing)),
            Self::State { .. } | Self::Zeros | Self::Presence { .. } => None,
        }
    }
}
