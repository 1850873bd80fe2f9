//! Steps: the models of a pipeline, their inputs, and the views of their outputs.

use std::path::PathBuf;
use std::time::Duration;

use crate::batch::BatchPolicy;
use crate::infer::condition::{ShownOperand, StepCondition};
use crate::infer::head::{BoxFormat, HeadLayout};
use crate::infer::tracks::TrackRule;
use crate::infer::unit::{ModelUnit, UnitId};

pub use crate::infer::binding::{Binding, BindingSource, OnMissing};

/// One place of a pipeline where a model runs. A step comes after the steps that it waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name, unique in the pipeline.
    pub name: String,
    /// The version of its model that runs, and the runtime.
    pub unit: ModelUnit,
    /// The number of loaded copies.
    pub instances: usize,
    /// The batch policy.
    pub batch: BatchPolicy,
    /// The source of each of the model's inputs, in the signature's order.
    pub bindings: Vec<Binding>,
    /// The condition on which it runs for a bundle; none to run for all.
    pub when: Option<StepCondition<ShownOperand>>,
    /// The views of its outputs in the results.
    pub outputs: Vec<OutputView>,
    /// The treatment of failures.
    pub care: Care,
    /// The detections for each of which the step runs; without them it runs once a bundle.
    pub each: Option<EachDetection>,
}

/// The detections for which a step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EachDetection {
    /// The index of the earlier step that finds them.
    pub step: usize,
    /// The index of the view that shows them, in that step's outputs.
    pub view: usize,
    /// The most detections of a bundle for which the step runs, those with the best scores.
    pub most: usize,
}

impl EachDetection {
    /// The default of [`Self::most`].
    pub const MOST: usize = 100;
}

/// The treatment of failures of a step's model.
#[derive(Clone, Debug, PartialEq)]
pub struct Care {
    /// The longest time for one call of the model. After that the watchdog abandons the thread and another copy is
    /// loaded.
    pub deadline: Duration,
    /// The number of times that a bundle may fail alone before it is dead-lettered; at least once.
    pub tries: u32,
    /// The treatment of bundles while the model's circuit breaker is open.
    pub on_open_circuit: OnOpenCircuit,
}

impl Default for Care {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), tries: 2, on_open_circuit: OnOpenCircuit::Wait }
    }
}

/// The treatment of bundles while a model's circuit breaker is open.
#[derive(Clone, Debug, PartialEq)]
pub enum OnOpenCircuit {
    /// Bundles wait, and so do all stages before them.
    Wait,
    /// Bundles are dead-lettered.
    DeadLetter,
    /// Another model of the same signature runs the bundles.
    Fallback(Box<ModelUnit>),
}

impl Step {
    /// The key of its unit.
    pub fn unit_id(&self) -> UnitId {
        UnitId::new(&self.name, &self.unit.model.version)
    }

    /// True if the model has stream state.
    pub fn is_stateful(&self) -> bool {
        self.bindings.iter().any(|binding| matches!(binding, Binding::State { .. }))
    }

    /// The sources of its model's inputs, and of the detections for each of which it runs.
    pub fn sources(&self) -> Vec<(BindingSource, OnMissing)> {
        let each = self.each.iter().map(|each| (BindingSource::Step(each.step), OnMissing::Skip));
        self.bindings.iter().filter_map(Binding::source).chain(each).collect()
    }

    /// The earlier steps whose outputs it takes.
    pub fn takes_from(&self) -> Vec<usize> {
        let step = |(source, _): (BindingSource, OnMissing)| match source {
            BindingSource::Step(step) => Some(step),
            BindingSource::Input(_) => None,
        };
        let mut steps: Vec<usize> = self.sources().into_iter().filter_map(step).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// The earlier steps that must have reported before it can run: those that it takes from, and those of its condition.
    pub fn waits_for(&self) -> Vec<usize> {
        let mut steps = self.takes_from();
        let conditions = self.when.iter().flat_map(StepCondition::values);
        steps.extend(conditions.map(|(operand, _)| operand.step));
        steps.sort_unstable();
        steps.dedup();
        steps
    }
}

/// The steps that every sample of this input will need: those that take it, and those that take from them. A step with a
/// condition, or one that runs for each detection, may be skipped, so it is none of them.
pub fn certain_steps(steps: &[Step], input: usize) -> Vec<usize> {
    let mut certain: Vec<usize> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let takes = |binding: &Binding| match binding.source() {
            Some((BindingSource::Input(of), _)) => of.index() == input,
            Some((BindingSource::Step(step), _)) => certain.contains(&step),
            None => false,
        };
        let may_skip = step.when.is_some() || step.each.is_some();
        if !may_skip && step.bindings.iter().any(takes) {
            certain.push(index);
        }
    }
    certain
}

/// For each output of the step at this place, true if the output is used: by its results, its own next bundle, or a
/// later step. Unused outputs are not taken apart row by row.
pub fn kept_outputs(steps: &[Step], index: usize) -> Vec<bool> {
    let Some(step) = steps.get(index) else { return Vec::new() };
    let shown = step.outputs.iter().flat_map(|shown| shown.view.outputs());
    let carried = step.bindings.iter().filter_map(|binding| match binding {
        Binding::State { output } => Some(*output),
        _ => None,
    });
    let taken = steps.iter().flat_map(|later| &later.bindings).filter_map(|binding| match binding {
        Binding::Output { step, output, .. } | Binding::DetectionRow { step, output } if *step == index => {
            Some(*output)
        }
        _ => None,
    });
    let mut kept = vec![false; step.unit.model.signature.outputs.len()];
    for output in shown.chain(carried).chain(taken) {
        if let Some(kept) = kept.get_mut(output) {
            *kept = true;
        }
    }
    kept
}

/// One entry of a step's results.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputView {
    /// Its name in the result.
    pub name: String,
    /// The view.
    pub view: View,
}

/// The representation of tensors in results. Numbers are indices into the signature's outputs.
#[derive(Clone, Debug, PartialEq)]
pub enum View {
    /// The values themselves, in nested lists, with shape and type.
    Raw {
        /// The output.
        output: usize,
    },
    /// A list of numbers, or only one of them: the maximum, the mean or the last.
    Scores {
        /// The output.
        output: usize,
        /// The function of its numbers that are the scores.
        activation: ScoreActivation,
        /// The reduction.
        reduce: Reduce,
        /// The score from which on the result has `"detected": true` beside the score.
        threshold: Option<f32>,
    },
    /// The best classes with their labels.
    TopK {
        /// The output, `[classes]` a row.
        output: usize,
        /// The number of classes.
        k: usize,
        /// One label a line, or none for bare indices.
        labels: Option<PathBuf>,
        /// The function of its numbers that are the scores.
        activation: ScoreActivation,
    },
    /// A vector, as it is or of length 1.
    Embedding {
        /// The output, `[dimensions]` a row.
        output: usize,
        /// True if the vector is divided by its length.
        normalize: bool,
    },
    /// Boxes with scores, and labels or landmarks if the model gives them. Coordinates are those of the source image:
    /// resizing is undone.
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
        /// The choice among the boxes.
        choice: BoxChoice,
        /// The tracks of the boxes, if they have any.
        track: Option<TrackRule>,
    },
    /// Detections of a raw head, whose only output has the boxes and class scores of all anchors.
    Anchors {
        /// The output.
        output: usize,
        /// Its arrangement.
        layout: HeadLayout,
        /// The meaning of a box's numbers.
        format: BoxFormat,
        /// The labels of the classes.
        labels: Option<PathBuf>,
        /// The choice among the boxes.
        choice: BoxChoice,
        /// The tracks of the boxes, if they have any.
        track: Option<TrackRule>,
    },
    /// Text by connectionist temporal classification (CTC).
    CtcText {
        /// The output, `[steps, classes]` a row.
        output: usize,
        /// One label a line, for each class.
        labels: PathBuf,
        /// The meaning of the classes.
        alphabet: CtcAlphabet,
    },
    /// The text of a model that writes tokens.
    TokenText {
        /// The output, `[tokens]` a row.
        output: usize,
        /// The model's `tokenizer.json`.
        tokenizer: PathBuf,
        /// The token that ends a text; what follows is padding.
        end: Option<u32>,
    },
}

impl View {
    /// The outputs that it shows.
    pub fn outputs(&self) -> Vec<usize> {
        match self {
            Self::Raw { output }
            | Self::Scores { output, .. }
            | Self::TopK { output, .. }
            | Self::Anchors { output, .. }
            | Self::CtcText { output, .. }
            | Self::TokenText { output, .. }
            | Self::Embedding { output, .. } => vec![*output],
            Self::Detections { boxes, scores, classes, landmarks, .. } => {
                [Some(*boxes), Some(*scores), *classes, *landmarks].into_iter().flatten().collect()
            }
        }
    }
}

/// The function that makes scores of a model's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScoreActivation {
    /// The numbers are the scores.
    #[default]
    Identity,
    /// `1 / (1 + exp(-x))` of each number: independent logits.
    Sigmoid,
    /// `exp(x) / sum`, along the last axis: logits of classes that exclude one another.
    Softmax,
}

/// The meaning of a CTC model's classes.
#[derive(Clone, Debug, PartialEq)]
pub struct CtcAlphabet {
    /// The class that stands for no label.
    pub blank: usize,
    /// The label that stands for a space.
    pub space: Option<String>,
    /// The function that makes probabilities of the model's numbers.
    pub activation: ScoreActivation,
}

impl CtcAlphabet {
    /// Checks the labels and the blank against the number of classes, as far as it is known.
    ///
    /// # Errors
    /// Another number of labels, or a blank beyond them.
    pub fn fit(&self, classes: Option<usize>, labels: usize) -> Result<(), String> {
        if let Some(classes) = classes.filter(|classes| *classes != labels) {
            return Err(format!(
                "the output has {classes} classes and the file {labels} labels; write one label for each class, the \
                 blank too"
            ));
        }
        if self.blank >= labels {
            let blank = self.blank;
            return Err(format!(
                "the blank is class {blank} of {labels}; write the index of the blank's label"
            ));
        }
        Ok(())
    }
}

impl View {
    /// The rule of its detections' tracks, if they have any.
    pub fn track(&self) -> Option<TrackRule> {
        match self {
            Self::Detections { track, .. } | Self::Anchors { track, .. } => *track,
            _ => None,
        }
    }
}

/// The choice among the boxes of one row: the lowest score, non-maximum suppression (NMS), and the most boxes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxChoice {
    /// Boxes with a lower score are left out.
    pub min_score: f32,
    /// NMS, if any.
    pub suppression: Option<Suppression>,
    /// The most boxes, the best ones.
    pub most: Option<usize>,
}

impl BoxChoice {
    /// All boxes with at least this score, in the model's order.
    pub fn from_score(min_score: f32) -> Self {
        Self { min_score, suppression: None, most: None }
    }
}

/// Non-maximum suppression: a box is left out if it overlaps a better box by more than a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suppression {
    /// The greatest intersection over union (IoU) of two boxes that are both kept.
    pub iou: f32,
    /// True if boxes of different classes suppress one another, too.
    pub class_agnostic: bool,
    /// The most boxes that take part, the best ones. It bounds the time, which grows with its square.
    pub candidates: usize,
}

/// The reduction of a list of scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduce {
    /// All scores.
    #[default]
    All,
    /// The greatest.
    Max,
    /// The mean.
    Mean,
    /// The last.
    Last,
}
