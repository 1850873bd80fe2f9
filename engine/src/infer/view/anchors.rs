//! Detections of a raw head: one output with the boxes and class scores of all anchors.

use serde_json::Value;

use super::detections::entry;
use super::number::floats;
use super::suppression::{Candidate, chosen};
use crate::infer::head::{BoxFormat, HeadLayout};
use crate::infer::step::BoxChoice;
use crate::preprocess::Placement;
use crate::tensor::Tensor;

/// The numbers of one row's anchors.
struct Anchors<'a> {
    values: &'a [f32],
    layout: HeadLayout,
    /// The number of anchors.
    count: usize,
    /// The numbers of each anchor.
    attributes: usize,
}

/// The detections in a raw head.
pub(super) fn detections(
    tensor: &Tensor,
    layout: HeadLayout,
    format: BoxFormat,
    choice: &BoxChoice,
    labels: Option<&[String]>,
    placement: Option<&Placement>,
) -> Result<Value, String> {
    let row: Vec<Option<usize>> = tensor.shape().iter().copied().map(Some).collect();
    layout.fit(&row, labels.map(<[String]>::len))?;
    let shown = best(tensor, layout, format, choice)?.into_iter();
    Ok(shown.map(|candidate| Value::Object(entry(&candidate, labels, placement))).collect())
}

/// The chosen boxes of a raw head.
pub(super) fn best(
    tensor: &Tensor,
    layout: HeadLayout,
    format: BoxFormat,
    choice: &BoxChoice,
) -> Result<Vec<Candidate>, String> {
    let values = floats(tensor, "anchors")?;
    let (count, attributes) = match (layout, tensor.shape()) {
        (HeadLayout::AttributesFirst, [attributes, count])
        | (HeadLayout::AnchorsFirst, [count, attributes]) => (*count, *attributes),
        _ => (0, 0),
    };
    let anchors = Anchors { values: &values, layout, count, attributes };
    let classes = anchors.best_classes();
    let candidates = classes.into_iter().enumerate();
    let candidates = candidates.filter_map(|(place, best)| anchors.candidate(place, best, format));
    Ok(chosen(candidates, choice))
}

impl Anchors<'_> {
    fn number(&self, anchor: usize, attribute: usize) -> f32 {
        let place = match self.layout {
            HeadLayout::AttributesFirst => attribute * self.count + anchor,
            HeadLayout::AnchorsFirst => anchor * self.attributes + attribute,
        };
        self.values.get(place).copied().unwrap_or(f32::NAN)
    }

    /// The best class of each anchor with its score: among equals the lower one. An anchor whose class scores are all NaN
    /// has none. The numbers are read in the order in which they lie, since there may be a million of them.
    fn best_classes(&self) -> Vec<Option<(usize, f32)>> {
        let offset = self.layout.class_offset();
        let mut best = vec![None; self.count];
        let lines = self.values.chunks_exact(match self.layout {
            HeadLayout::AttributesFirst => self.count.max(1),
            HeadLayout::AnchorsFirst => self.attributes.max(1),
        });
        match self.layout {
            HeadLayout::AttributesFirst => {
                for (class, line) in lines.skip(offset).enumerate() {
                    best.iter_mut().zip(line).for_each(|(best, score)| keep_better(best, class, *score));
                }
            }
            HeadLayout::AnchorsFirst => {
                for (best, line) in best.iter_mut().zip(lines) {
                    let scores = line.iter().skip(offset).enumerate();
                    scores.for_each(|(class, score)| keep_better(best, class, *score));
                }
            }
        }
        best
    }

    /// The anchor's box with its best class.
    fn candidate(&self, place: usize, best: Option<(usize, f32)>, format: BoxFormat) -> Option<Candidate> {
        let (class, score) = best?;
        let score = match self.layout {
            HeadLayout::AttributesFirst => score,
            HeadLayout::AnchorsFirst => self.number(place, 4) * score,
        };
        let [a, b, c, d] = [0, 1, 2, 3].map(|attribute| f64::from(self.number(place, attribute)));
        let corners = match format {
            BoxFormat::Centre => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
            BoxFormat::Corners => [a, b, c, d],
        };
        Some(Candidate { place, corners, score, class: i64::try_from(class).ok() })
    }
}

fn keep_better(best: &mut Option<(usize, f32)>, class: usize, score: f32) {
    if !score.is_nan() && best.is_none_or(|(_, most)| score > most) {
        *best = Some((class, score));
    }
}
