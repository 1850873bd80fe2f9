//! Boxes with scores, classes and landmarks, in pixels of the source image.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::number::{floats, number, pixels};
use super::suppression::{Candidate, chosen};
use crate::infer::extents::described;
use crate::infer::step::BoxChoice;
use crate::preprocess::Placement;
use crate::tensor::Tensor;

/// The detections in one row.
pub(super) struct DetectorOutputs<'a> {
    /// `[n, 4]`: x1, y1, x2, y2 in pixels of the model's input.
    pub(super) boxes: &'a Tensor,
    /// `[n]`
    pub(super) scores: &'a Tensor,
    /// `[n]` of any type.
    pub(super) classes: Option<&'a Tensor>,
    /// `[n, points, 2]`: x, y in pixels of the model's input.
    pub(super) landmarks: Option<&'a Tensor>,
}

impl DetectorOutputs<'_> {
    pub(super) fn show(
        &self,
        choice: &BoxChoice,
        labels: Option<&[String]>,
        placement: Option<&Placement>,
    ) -> Result<Value, String> {
        let scores = floats(self.scores, "scores")?;
        let count = scores.len();
        let boxes = floats(self.boxes, "boxes")?;
        expect("boxes", self.boxes, self.boxes.shape() == [count, 4], || format!("[{count}, 4]"))?;
        let points = self.landmarks.map(|tensor| points(tensor, count)).transpose()?;
        if let Some(classes) = self.classes {
            expect("classes", classes, classes.shape() == [count], || format!("[{count}]"))?;
        }
        let candidates = boxes.chunks_exact(4).zip(scores.iter()).enumerate();
        let candidates = candidates.filter_map(|(place, (corners, score))| {
            let corners = <[f32; 4]>::try_from(corners).ok()?.map(f64::from);
            let class = self.classes.and_then(|classes| class(classes, place));
            Some(Candidate { place, corners, score: *score, class })
        });
        let shown = |candidate: Candidate| {
            let mut entry = entry(&candidate, labels, placement);
            if let Some((values, each)) = &points {
                let place = candidate.place;
                let values = values.get(place * each..(place + 1) * each).unwrap_or_default();
                let xy = |xy: &[f32]| json!(mapped(xy, placement));
                entry.insert("landmarks".to_owned(), values.chunks(2).map(xy).collect());
            }
            Value::Object(entry)
        };
        Ok(chosen(candidates, choice).into_iter().map(shown).collect())
    }
}

/// A detection's box, score, class and label.
pub(super) fn entry(
    candidate: &Candidate,
    labels: Option<&[String]>,
    placement: Option<&Placement>,
) -> Map<String, Value> {
    let [x1, y1, x2, y2] = candidate.corners;
    let corners = [(x1, y1), (x2, y2)].into_iter().flat_map(|xy| in_source(xy, placement));
    let mut entry = Map::new();
    entry.insert("box".to_owned(), corners.collect());
    entry.insert("score".to_owned(), number(candidate.score));
    if let Some(class) = candidate.class {
        entry.insert("class".to_owned(), class.into());
        let label = labels.and_then(|labels| labels.get(usize::try_from(class).ok()?));
        if let Some(label) = label {
            entry.insert("label".to_owned(), label.as_str().into());
        }
    }
    entry
}

/// The coordinates of `[count, points, 2]` landmarks, and the number of points of each detection.
fn points(tensor: &Tensor, count: usize) -> Result<(Cow<'_, [f32]>, usize), String> {
    let values = floats(tensor, "landmarks")?;
    match tensor.shape() {
        [found, points, 2] if *found == count => Ok((values, points * 2)),
        shape => {
            Err(format!("landmarks are {}, expected [{count}, points, 2]", described(tensor.dtype(), shape)))
        }
    }
}

fn mapped(xy: &[f32], placement: Option<&Placement>) -> [Value; 2] {
    let at = |place: usize| f64::from(xy.get(place).copied().unwrap_or(f32::NAN));
    in_source((at(0), at(1)), placement)
}

/// A point of the model's input in pixels of the source image.
fn in_source((x, y): (f64, f64), placement: Option<&Placement>) -> [Value; 2] {
    let (x, y) = placement.map_or((x, y), |placement| placement.to_source(x, y));
    [pixels(x), pixels(y)]
}

fn class(classes: &Tensor, place: usize) -> Option<i64> {
    // Some exporters make every output a float.
    let rounded = || classes.number(place).filter(|value| value.is_finite()).map(|value| value as i64);
    classes.integer(place).or_else(rounded)
}

fn expect(what: &str, tensor: &Tensor, fits: bool, expected: impl Fn() -> String) -> Result<(), String> {
    if fits {
        return Ok(());
    }
    Err(format!("{what} are {}, expected {}", described(tensor.dtype(), tensor.shape()), expected()))
}
