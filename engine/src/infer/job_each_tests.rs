//! Steps that run once per detection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use super::tests::{NOW, bundle, skipped};
use super::*;
use crate::infer::step::{BoxChoice, OutputView, View};
use crate::tensor::Tensor;

/// A step, a second one that runs on each of its detections, and a third one that takes from the second.
fn each(most: usize) -> Graph {
    let found = View::Detections {
        boxes: 0,
        scores: 1,
        classes: None,
        labels: None,
        landmarks: None,
        choice: BoxChoice::from_score(0.5),
        track: None,
    };
    let view = LabelledView::new(OutputView { name: "found".into(), view: found }, None);
    let rule = DetectionRule { step: 0, view: 0, name: "one.found".to_owned(), most };
    let takes = |step: usize| vec![(BindingSource::Step(step), OnMissing::Skip)];
    Graph {
        names: ["one", "two", "three"].map(str::to_owned).to_vec(),
        awaits: vec![vec![], vec![0], vec![1]],
        sources: vec![vec![], takes(0), takes(1)],
        feeds: vec![vec![1], vec![2], vec![]],
        conditions: vec![None; 3],
        views: vec![vec![view], vec![], vec![]],
        input_names: Vec::new(),
        each: vec![None, Some(rule), None],
    }
}

fn done(tensors: Vec<Tensor>) -> StepReport {
    let outcome = StepOutcome::Done { output: tensors.into_iter().collect(), placement: None };
    StepReport { outcome, timing: StepTiming::default() }
}

fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::new(shape.to_vec(), values).expect("as many values")
}

/// Detections with these scores.
fn detections(scores: &[f32]) -> StepReport {
    let boxes: Vec<f32> = scores.iter().flat_map(|score| [0.0, 0.0, 10.0 * score, 5.0]).collect();
    done(vec![tensor(&[scores.len(), 4], &boxes), tensor(&[scores.len()], scores)])
}

#[test]
fn step_with_each_has_a_row_for_each_shown_detection() {
    let graph = each(2);
    let (job, next) = Job::start(1, bundle(false), &graph, NOW);
    assert_eq!((next.steps.as_slice(), job.rows(0)), (&[0][..], 1));
    let next = job.report((0, 0), detections(&[0.9, 0.1, 0.6, 0.8]), &graph, NOW);
    assert_eq!(
        (next.steps.as_slice(), job.rows(1)),
        (&[1][..], 2),
        "one is below the score, and two are the most"
    );
    let gather = job.gather(1).expect("rows");
    let places: Vec<usize> = gather.detections().iter().map(|detection| detection.place).collect();
    assert_eq!((places, gather.left_out()), (vec![0, 2], 1), "places in the view, which has three");
    assert!((gather.detections()[1].found.corners[2] - 8.0).abs() < 1e-6);
    let one = |value: f32| done(vec![tensor(&[1], &[value])]);
    assert_eq!(job.report((1, 1), one(8.0), &graph, NOW), NextSteps::default());
    assert_eq!(
        job.report((1, 1), one(7.0), &graph, NOW),
        NextSteps::default(),
        "a second report changes nothing"
    );
    let next = job.report((1, 0), one(9.0), &graph, NOW);
    assert_eq!((next.steps.as_slice(), next.finished), (&[2][..], false));
    let Some(StepOutcome::DoneEach(rows)) = job.at(1).map(|report| &report.outcome) else {
        panic!("not done")
    };
    let values: Vec<Option<&[f32]>> = rows.iter().map(|row| row.output.get(0)?.elements::<f32>()).collect();
    assert_eq!(values, [Some(&[9.0][..]), Some(&[8.0][..])]);
    assert_eq!(job.report((1, 0), one(1.0), &graph, NOW), NextSteps::default());
    assert!(job.report((2, 0), one(1.0), &graph, NOW).finished);
}

#[test]
fn step_with_each_is_skipped_without_detections() {
    let graph = each(100);
    let (job, _) = Job::start(1, bundle(false), &graph, NOW);
    let next = job.report((0, 0), detections(&[0.1]), &graph, NOW);
    assert!(next.finished && next.steps.is_empty());
    assert_eq!(skipped(&job, 1), Some("no detections in one.found"));
    assert_eq!(skipped(&job, 2), Some("step two was skipped"));
}

#[test]
fn detections_that_cannot_be_read_fail_the_bundle() {
    let graph = each(100);
    let (job, _) = Job::start(1, bundle(false), &graph, NOW);
    let odd = done(vec![tensor(&[4], &[0.0; 4]), tensor(&[1], &[0.9])]);
    assert!(job.report((0, 0), odd, &graph, NOW).finished);
    let failure = job.failure().expect("a failure");
    assert!(failure.fault.message.starts_with("one.found: boxes are f32 [4]"), "{}", failure.fault);
}
