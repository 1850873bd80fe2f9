//! The choice among the boxes of one row: the lowest score, non-maximum suppression (NMS), and the most boxes.

use std::cmp::Ordering;

use crate::infer::box_overlap::overlap;
use crate::infer::step::{BoxChoice, Suppression};

/// One box that may become a detection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Its index in the model's output.
    pub(super) place: usize,
    /// x1, y1, x2, y2 in pixels of the model's input.
    pub(super) corners: [f64; 4],
    pub(super) score: f32,
    pub(super) class: Option<i64>,
}

/// Chooses among boxes. With suppression or a greatest number, the best box comes first, and among equals the model's
/// earlier one; otherwise the model's order stays. A score of NaN is below every score.
pub(super) fn chosen(candidates: impl Iterator<Item = Candidate>, choice: &BoxChoice) -> Vec<Candidate> {
    // Written so that a score of NaN is left out.
    let mut candidates: Vec<Candidate> =
        candidates.filter(|candidate| candidate.score >= choice.min_score).collect();
    match (choice.suppression, choice.most) {
        (None, None) => {}
        (None, Some(most)) => keep_best(&mut candidates, most),
        (Some(suppression), most) => {
            keep_best(&mut candidates, suppression.candidates);
            candidates = suppressed(&candidates, suppression, most.unwrap_or(usize::MAX));
        }
    }
    candidates
}

/// Keeps the best boxes, in order. It sorts no more than it keeps.
fn keep_best(candidates: &mut Vec<Candidate>, most: usize) {
    let better = |a: &Candidate, b: &Candidate| {
        // Scores of NaN are left out before, and -0 equals 0.
        b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal).then(a.place.cmp(&b.place))
    };
    if most < candidates.len() {
        candidates.select_nth_unstable_by(most, better);
        candidates.truncate(most);
    }
    candidates.sort_unstable_by(better);
}

/// The boxes that overlap no better box of those kept by more than the threshold, at most `most` of them.
fn suppressed(candidates: &[Candidate], suppression: Suppression, most: usize) -> Vec<Candidate> {
    let iou = f64::from(suppression.iou);
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.len() >= most {
            break;
        }
        let rivals =
            kept.iter().filter(|better| suppression.class_agnostic || better.class == candidate.class);
        let is_covered =
            rivals.map(|better| overlap(&better.corners, &candidate.corners)).any(|found| found > iou);
        if !is_covered {
            kept.push(*candidate);
        }
    }
    kept
}
