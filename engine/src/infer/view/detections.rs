//! Boxes with scores, classes and landmarks, in pixels of the source image.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::number::{floats, number, pixels};
use super::suppression::{Candidate, chosen};
use crate::infer::extents::described;
use crate::infer::step::BoxChoice;
use crate::preprocess::{Detection, Placement};
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
        let (chosen, points) = self.chosen(choice)?;
        let shown = |candidate: Candidate| {
            let mut entry = entry(&candidate, labels, placement);
            if let Some(points) = &points {
                let xy = |(x, y): (f64, f64)| json!([pixels(x), pixels(y)]);
                entry.insert("landmarks".to_owned(), points.of(candidate.place, placement).map(xy).collect());
            }
            Value::Object(entry)
        };
        Ok(chosen.into_iter().map(shown).collect())
    }

    /// The chosen detections in pixels of the source image.
    pub(super) fn found(
        &self,
        choice: &BoxChoice,
        placement: Option<&Placement>,
    ) -> Result<Vec<Detection>, String> {
        let (chosen, points) = self.chosen(choice)?;
        let found = |candidate: Candidate| {
            let landmarks = points.iter().flat_map(|points| points.of(candidate.place, placement));
            Detection { landmarks: landmarks.map(|(x, y)| [x, y]).collect(), ..found(&candidate, placement) }
        };
        Ok(chosen.into_iter().map(found).collect())
    }

    fn chosen(&self, choice: &BoxChoice) -> Result<(Vec<Candidate>, Option<Landmarks<'_>>), String> {
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
        Ok((chosen(candidates, choice), points))
    }
}

/// The coordinates of landmarks, in pixels of the model's input.
struct Landmarks<'a> {
    values: Cow<'a, [f32]>,
    /// The numbers of each detection.
    each: usize,
}

impl Landmarks<'_> {
    /// The points of one detection in pixels of the source image.
    fn of(&self, place: usize, placement: Option<&Placement>) -> impl Iterator<Item = (f64, f64)> {
        let values = self.values.get(place * self.each..(place + 1) * self.each).unwrap_or_default();
        let (points, _) = values.as_chunks::<2>();
        points.iter().map(move |[x, y]| in_source((f64::from(*x), f64::from(*y)), placement))
    }
}

/// A candidate in pixels of the source image, without landmarks.
pub(super) fn found(candidate: &Candidate, placement: Option<&Placement>) -> Detection {
    let [x1, y1, x2, y2] = candidate.corners;
    let ((x1, y1), (x2, y2)) = (in_source((x1, y1), placement), in_source((x2, y2), placement));
    let corners = [x1, y1, x2, y2];
    Detection { row: candidate.place, corners, score: candidate.score, landmarks: Vec::new() }
}

/// A box in pixels of the source image, as results show it.
pub(super) fn shown_box(corners: [f64; 4]) -> Value {
    corners.into_iter().map(pixels).collect()
}

/// A detection's box, score, class and label.
pub(super) fn entry(
    candidate: &Candidate,
    labels: Option<&[String]>,
    placement: Option<&Placement>,
) -> Map<String, Value> {
    let mut entry = Map::new();
    entry.insert("box".to_owned(), shown_box(found(candidate, placement).corners));
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

/// The coordinates of `[count, points, 2]` landmarks.
fn points(tensor: &Tensor, count: usize) -> Result<Landmarks<'_>, String> {
    let values = floats(tensor, "landmarks")?;
    match tensor.shape() {
        [found, points, 2] if *found == count => Ok(Landmarks { values, each: points * 2 }),
        shape => {
            Err(format!("landmarks are {}, expected [{count}, points, 2]", described(tensor.dtype(), shape)))
        }
    }
}

/// A point of the model's input in pixels of the source image.
fn in_source((x, y): (f64, f64), placement: Option<&Placement>) -> (f64, f64) {
    placement.map_or((x, y), |placement| placement.to_source(x, y))
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
