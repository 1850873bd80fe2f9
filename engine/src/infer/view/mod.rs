//! Turns one bundle's tensors into JSON values for the results. A number that JSON cannot express (NaN, infinite)
//! becomes `null`.

mod activation;
mod anchors;
mod ctc;
mod detections;
mod fields;
mod number;
mod suppression;
mod tokens;
mod vectors;

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::infer::rows::StepOutput;
use crate::infer::step::{OutputView, View};
use crate::preprocess::{Detection, Placement};

pub use tokens::TokenDecoder;

/// An [`OutputView`] with its file read.
#[derive(Clone, Debug)]
pub struct LabelledView {
    view: OutputView,
    labels: Option<Arc<[String]>>,
    decoder: Option<Arc<TokenDecoder>>,
}

impl OutputView {
    /// The file of its labels, which is read once at the start of the pipeline.
    pub fn labels_file(&self) -> Option<&Path> {
        match &self.view {
            View::TopK { labels, .. } | View::Detections { labels, .. } | View::Anchors { labels, .. } => {
                labels.as_deref()
            }
            View::CtcText { labels, .. } => Some(labels),
            View::Raw { .. } | View::Scores { .. } | View::Embedding { .. } | View::TokenText { .. } => None,
        }
    }

    /// The file of its tokenizer, which is read once at the start of the pipeline.
    pub fn tokenizer_file(&self) -> Option<&Path> {
        match &self.view {
            View::TokenText { tokenizer, .. } => Some(tokenizer),
            _ => None,
        }
    }
}

/// The box of a detection as results show it.
pub fn shown_box(detection: &Detection) -> Value {
    detections::shown_box(detection.corners)
}

/// The labels in a file's text: one to a line; empty lines at the end do not count.
pub fn labels(text: &str) -> Arc<[String]> {
    text.trim_end().lines().map(|line| line.trim().to_owned()).collect()
}

impl LabelledView {
    /// A view with the labels that [`labels`] read from its file, if it has one.
    pub fn new(view: OutputView, labels: Option<Arc<[String]>>) -> Self {
        Self { view, labels, decoder: None }
    }

    /// A view of tokens with the tokenizer from its file.
    pub fn decoding(view: OutputView, decoder: Arc<TokenDecoder>) -> Self {
        Self { view, labels: None, decoder: Some(decoder) }
    }

    /// Its name in the result.
    pub fn name(&self) -> &str {
        &self.view.name
    }

    /// The detections that it shows, in its order, in pixels of the source image.
    ///
    /// # Errors
    /// The output whose type or shape does not suit the view, or a view of something else.
    pub fn found(
        &self,
        outputs: &StepOutput,
        placement: Option<&Placement>,
    ) -> Result<Vec<Detection>, String> {
        let tensor = |output: usize| {
            outputs.get(output).ok_or_else(|| format!("there is no output number {}", output + 1))
        };
        match &self.view.view {
            View::Detections { boxes, scores, classes, landmarks, choice, .. } => {
                detections::DetectorOutputs {
                    boxes: tensor(*boxes)?,
                    scores: tensor(*scores)?,
                    classes: classes.map(tensor).transpose()?,
                    landmarks: landmarks.map(tensor).transpose()?,
                }
                .found(choice, placement)
            }
            View::Anchors { output, layout, format, choice, .. } => {
                let best = anchors::best(tensor(*output)?, *layout, *format, choice)?;
                Ok(best.iter().map(|candidate| detections::found(candidate, placement)).collect())
            }
            _ => Err("it shows no detections".to_owned()),
        }
    }

    /// The JSON value for one bundle. `placement` is the position of the source image in the model's input; without it,
    /// coordinates are in pixels of that input.
    ///
    /// - raw: `{"dtype", "shape", "values": nested lists}`
    /// - scores: `{"scores": [...]}`, or `{"score": x}` when reduced; with a threshold also `"detected"`
    /// - top-k: `[{"class", "label"?, "score"}, ...]`, the best first
    /// - embedding: `[...]`
    /// - CTC text: `{"text", "log_probability"}`
    /// - text of tokens: `{"text"}`
    /// - detections, the best first if suppressed or bounded: `[{"box": [x1, y1, x2, y2], "score", "class"?, "label"?, "landmarks"?: [[x, y], ...]}, ...]`
    ///
    /// # Errors
    /// The output whose type or shape does not suit the view.
    pub fn show(&self, outputs: &StepOutput, placement: Option<&Placement>) -> Result<Value, String> {
        let tensor = |output: usize| {
            outputs
                .get(output)
                .ok_or_else(|| format!("result {}: there is no output number {}", self.view.name, output + 1))
        };
        let labels = self.labels.as_deref();
        let shown = match &self.view.view {
            View::Raw { output } => {
                let tensor = tensor(*output)?;
                Ok(json!({
                    "dtype": tensor.dtype().to_string(),
                    "shape": tensor.shape(),
                    "values": vectors::nested(tensor),
                }))
            }
            View::Scores { output, activation, reduce, threshold } => {
                vectors::scores(tensor(*output)?, *activation, *reduce, *threshold)
            }
            View::TopK { output, k, activation, .. } => {
                vectors::top_k(tensor(*output)?, *activation, *k, labels)
            }
            View::Embedding { output, normalize } => vectors::embedding(tensor(*output)?, *normalize),
            View::Detections { boxes, scores, classes, landmarks, choice, .. } => {
                detections::DetectorOutputs {
                    boxes: tensor(*boxes)?,
                    scores: tensor(*scores)?,
                    classes: classes.map(tensor).transpose()?,
                    landmarks: landmarks.map(tensor).transpose()?,
                }
                .show(choice, labels, placement)
            }
            View::Anchors { output, layout, format, choice, .. } => {
                anchors::detections(tensor(*output)?, *layout, *format, choice, labels, placement)
            }
            View::CtcText { output, alphabet, .. } => ctc::text(tensor(*output)?, alphabet, labels),
            View::TokenText { output, end, .. } => match &self.decoder {
                Some(decoder) => decoder.text(tensor(*output)?, *end),
                None => Err("its tokenizer was not read".to_owned()),
            },
        };
        shown.map_err(|error| format!("result {}: {error}", self.view.name))
    }
}

/// All views of a step under their names.
///
/// # Errors
/// The first view that cannot be shown.
pub fn show_all(
    views: &[LabelledView],
    outputs: &StepOutput,
    placement: Option<&Placement>,
) -> Result<Map<String, Value>, String> {
    views.iter().map(|view| Ok((view.name().to_owned(), view.show(outputs, placement)?))).collect()
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
