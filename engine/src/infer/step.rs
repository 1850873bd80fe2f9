//! Steps: which model runs on which inputs or earlier outputs, and how its outputs are shown.

use std::path::PathBuf;
use std::time::Duration;

use crate::batch::BatchPolicy;
use crate::infer::backend::LoadModel;
use crate::position::InputId;
use crate::preprocess::Preprocess;

/// One model in a pipeline. A step comes after the steps that it takes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name, unique in the pipeline.
    pub name: String,
    /// The model.
    pub model: LoadModel,
    /// The name of the backend that runs it.
    pub backend: String,
    /// How many copies are loaded.
    pub instances: usize,
    /// How bundles are batched for it.
    pub batch: BatchPolicy,
    /// Where each of the model's inputs comes from, in the signature's order.
    pub bindings: Vec<Binding>,
    /// How its outputs are shown in the results.
    pub outputs: Vec<OutputView>,
    /// What happens when the model fails.
    pub care: Care,
}

/// What happens when a step's model fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Care {
    /// The longest that one call of the model may take. After that it is left behind and another copy loaded.
    pub deadline: Duration,
    /// How often a bundle may fail alone before it is dead-lettered; at least once.
    pub tries: u32,
    /// What becomes of bundles while the model's breaker is open.
    pub on_open_circuit: OnOpenCircuit,
}

impl Default for Care {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), tries: 2, on_open_circuit: OnOpenCircuit::Wait }
    }
}

/// What becomes of bundles while a model's breaker is open.
#[derive(Clone, Debug, PartialEq)]
pub enum OnOpenCircuit {
    /// They wait, and with them all before them.
    Wait,
    /// They are dead-lettered.
    DeadLetter,
    /// Another model of the same signature runs them.
    Fallback(Box<Fallback>),
}

/// A model that stands in for another.
#[derive(Clone, Debug, PartialEq)]
pub struct Fallback {
    /// The model.
    pub model: LoadModel,
    /// The name of the backend that runs it.
    pub backend: String,
}

impl Step {
    /// Whether anything is carried from one bundle of a stream to the next.
    pub fn is_stateful(&self) -> bool {
        self.bindings.iter().any(|binding| matches!(binding, Binding::State { .. }))
    }

    /// The earlier steps whose outputs it takes.
    pub fn takes_from(&self) -> Vec<usize> {
        let mut steps: Vec<usize> = self
            .bindings
            .iter()
            .filter_map(|binding| match binding {
                Binding::Output { step, .. } => Some(*step),
                _ => None,
            })
            .collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }
}

/// Of the outputs of the step in that place, by their order in its signature, those that anybody looks at:
/// its results, its own next bundle, or a later step. The others need not be taken apart row by row.
pub fn kept_outputs(steps: &[Step], index: usize) -> Vec<bool> {
    let Some(step) = steps.get(index) else { return Vec::new() };
    let shown = step.outputs.iter().flat_map(|shown| shown.view.outputs());
    let carried = step.bindings.iter().filter_map(|binding| match binding {
        Binding::State { output } => Some(*output),
        _ => None,
    });
    let taken = steps.iter().flat_map(|later| &later.bindings).filter_map(|binding| match binding {
        Binding::Output { step, output } if *step == index => Some(*output),
        _ => None,
    });
    let mut kept = vec![false; step.model.signature.outputs.len()];
    for output in shown.chain(carried).chain(taken) {
        if let Some(kept) = kept.get_mut(output) {
            *kept = true;
        }
    }
    kept
}

/// Where one tensor of a model's inputs comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Binding {
    /// From the bundle.
    Input {
        /// The input.
        input: InputId,
        /// What is made of its samples.
        preprocess: Preprocess,
    },
    /// From an earlier step's output, row by row.
    Output {
        /// The index of the step in the pipeline.
        step: usize,
        /// The index of the output in its signature.
        output: usize,
    },
    /// Carried from the stream's last bundle; zeros at first.
    State {
        /// The index of the output in this step's own signature.
        output: usize,
    },
    /// Zeros, always: a recurrent model used without memory.
    Zeros,
}

/// One entry of a step's results.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputView {
    /// Its name in the result.
    pub name: String,
    /// What is shown.
    pub view: View,
}

/// How tensors become something that people read. Numbers are indices into the signature's outputs.
#[derive(Clone, Debug, PartialEq)]
pub enum View {
    /// The values themselves, in nested lists, with shape and type.
    Raw {
        /// The output.
        output: usize,
    },
    /// A list of numbers, and optionally only one of them: the maximum, the mean or the last.
    Scores {
        /// The output.
        output: usize,
        /// Which.
        reduce: Reduce,
        /// At or above it, `"detected": true` stands beside the score.
        threshold: Option<f32>,
    },
    /// The best classes with their labels.
    TopK {
        /// The output, `[classes]` a row.
        output: usize,
        /// How many.
        k: usize,
        /// One label a line, or none for bare indices.
        labels: Option<PathBuf>,
        /// Whether the output is made of logits, to which softmax is applied first.
        softmax: bool,
    },
    /// A vector, as it is or of length 1.
    Embedding {
        /// The output, `[dimensions]` a row.
        output: usize,
        /// Whether it is divided by its length.
        normalize: bool,
    },
    /// Boxes with scores, and labels or landmarks if the model gives them. Coordinates are those of the
    /// source image: what resizing did is undone.
    Detections {
        /// The output with x1, y1, x2, y2 in pixels of the model's input.
        boxes: usize,
        /// The output with the scores.
        scores: usize,
        /// The output with class indices.
        classes: Option<usize>,
        /// The labels of the classes.
        labels: Option<PathBuf>,
        /// The output with points, `[N, points, 2]`.
        landmarks: Option<usize>,
        /// Boxes below it are left out.
        min_score: f32,
    },
}

impl View {
    /// The outputs that it shows.
    pub fn outputs(&self) -> Vec<usize> {
        match self {
            Self::Raw { output }
            | Self::Scores { output, .. }
            | Self::TopK { output, .. }
            | Self::Embedding { output, .. } => vec![*output],
            Self::Detections { boxes, scores, classes, landmarks, .. } => {
                [Some(*boxes), Some(*scores), *classes, *landmarks].into_iter().flatten().collect()
            }
        }
    }
}

/// What is shown of a list of scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduce {
    /// All of them.
    #[default]
    All,
    /// The greatest.
    Max,
    /// The mean.
    Mean,
    /// The last.
    Last,
}
