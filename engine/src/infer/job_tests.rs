#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use super::*;
use crate::align::Part;
use crate::infer::condition::ShownField;
use crate::infer::step::{OutputView, Reduce, ScoreActivation, View};
use crate::media::Media;
use crate::position::{InputId, Position};
use crate::sample::Record;
use crate::tensor::Tensor;

pub(super) const NOW: Timestamp = Timestamp::from_millis(5);

pub(super) fn bundle(is_repeated: bool) -> Bundle<Arc<Sample>> {
    Bundle {
        stream: "s".into(),
        event_time: NOW,
        record: None,
        parts: SmallVec::new(),
        first: true,
        opened_at: NOW,
        closed_at: NOW,
        revision: 3,
        is_final: true,
        is_repeated,
        incomplete: SmallVec::new(),
    }
}

/// A graph of steps that each wait for the step before. The last takes its output; the others have a condition each.
fn graph(conditions: &[&str]) -> Graph {
    let count = conditions.len() + 2;
    let before = |step: usize| step.checked_sub(1).into_iter().collect::<Vec<usize>>();
    let condition = |text: &&str| {
        let condition = StepCondition::parse(text).unwrap();
        let step = |path: &crate::infer::condition::ShownPath| path.step[4..].parse().unwrap();
        let operand = |path: &crate::infer::condition::ShownPath| {
            Ok::<_, ()>(ShownOperand {
                path: path.clone(),
                step: step(path),
                view: 0,
                field: ShownField::Score,
            })
        };
        condition.try_map(&mut { operand }).unwrap()
    };
    let scores = View::Scores {
        output: 0,
        activation: ScoreActivation::Identity,
        reduce: Reduce::Max,
        threshold: None,
    };
    let view = LabelledView::new(OutputView { name: "score".into(), view: scores }, None);
    let conditions = conditions.iter().map(condition).map(Some);
    let takes = |step: usize| (BindingSource::Step(step), OnMissing::Skip);
    let sources = |step: usize| before(step).into_iter().filter(|_| step + 1 == count).map(takes).collect();
    Graph {
        names: (0..count).map(|step| format!("step{step}")).collect(),
        awaits: (0..count).map(before).collect(),
        sources: (0..count).map(sources).collect(),
        feeds: (0..count).map(|step| (step + 1..count).take(1).collect()).collect(),
        conditions: std::iter::once(None).chain(conditions).chain([None]).collect(),
        views: vec![vec![view]; count],
        input_names: Vec::new(),
        each: vec![None; count],
    }
}

fn done(scores: &[f32]) -> StepReport {
    let output = std::iter::once(Tensor::new(vec![scores.len()], scores).unwrap()).collect();
    let outcome = StepOutcome::Done { output, placement: None };
    StepReport { outcome, timing: StepTiming::default() }
}

pub(super) fn skipped(job: &Job, step: usize) -> Option<&str> {
    match &job.at(step)?.outcome {
        StepOutcome::Skipped(why) => Some(why),
        _ => None,
    }
}

#[test]
fn bundle_repeated_only_as_final_runs_no_step() {
    let graph = graph(&[]);
    for is_repeated in [false, true] {
        let (job, next) = Job::start(1, bundle(is_repeated), &graph, NOW);
        assert_eq!((next.finished, next.steps.len()), (is_repeated, usize::from(!is_repeated)));
        assert_eq!(skipped(&job, 0).is_some(), is_repeated);
        assert!(skipped(&job, 0).is_none_or(|why| why.contains("unchanged since revision 3")));
    }
}

#[test]
fn step_runs_if_its_condition_holds() {
    let graph = graph(&["step0.score >= 0.5"]);
    let (job, next) = Job::start(1, bundle(false), &graph, NOW);
    assert_eq!(next.steps.as_slice(), [0]);
    let next = job.report((0, 0), done(&[0.1, 0.5]), &graph, NOW);
    assert_eq!((next.steps.as_slice(), next.finished), ([1].as_slice(), false));
    let next = job.report((1, 0), done(&[0.0]), &graph, NOW);
    assert_eq!(next.steps.as_slice(), [2]);
}

#[test]
fn step_whose_condition_fails_is_skipped_with_the_reason() {
    let graph = graph(&["step0.score >= 0.9"]);
    // The score is compared as the result shows it: 0.9, not the 32-bit number just below.
    for (scores, why) in [
        ([0.1, 0.9].as_slice(), None),
        (&[0.12], Some("when step0.score >= 0.9 does not hold: it is 0.12")),
        (&[f32::NAN], Some("when step0.score >= 0.9 does not hold: step0.score is null")),
        (&[], Some("when step0.score >= 0.9 does not hold: step0.score is null")),
    ] {
        let (job, _) = Job::start(1, bundle(false), &graph, NOW);
        let next = job.report((0, 0), done(scores), &graph, NOW);
        assert_eq!((skipped(&job, 1), next.finished), (why, why.is_some()));
        assert_eq!(skipped(&job, 2), why.map(|_| "step step1 was skipped"));
    }
}

#[test]
fn condition_on_a_skipped_step_is_unknown() {
    let first = "step0.score >= 0.5";
    for (second, why) in [
        ("step1.score < 1", Some("when step1.score < 1 does not hold: step step1 was skipped")),
        ("not step1.score < 1", Some("when not step1.score < 1 does not hold: step step1 was skipped")),
        ("step1.score < 1 or step0.score < 1", None),
    ] {
        let graph = graph(&[first, second]);
        let (job, _) = Job::start(1, bundle(false), &graph, NOW);
        let next = job.report((0, 0), done(&[0.1]), &graph, NOW);
        assert_eq!((skipped(&job, 2), next.finished), (why, why.is_some()), "{second}");
        assert_eq!(next.steps.as_slice(), if why.is_none() { &[2][..] } else { &[] }, "{second}");
    }
}

#[test]
fn condition_on_a_failed_step_skips_and_the_bundle_fails() {
    let graph = graph(&["step0.score < 1"]);
    let (job, _) = Job::start(1, bundle(false), &graph, NOW);
    let fault = Fault::new(crate::fault::StageKind::Infer, crate::fault::Reason::ModelFailed, "told to");
    let outcome = StepOutcome::Failed(StepFailure { fault, culprit: None });
    let next = job.report((0, 0), StepReport { outcome, timing: StepTiming::default() }, &graph, NOW);
    assert!(next.finished && job.failure().is_some());
    assert_eq!(skipped(&job, 1), Some("step step0 failed"));
}

fn part(samples: usize) -> Part<Arc<Sample>> {
    let sample = Sample {
        record: Record {
            position: Position::new(InputId(0), 0, 0),
            key: None,
            payload: Vec::new().into(),
            headers: Vec::new(),
            timestamp: None,
            polled_at: NOW,
            read_at: NOW,
        },
        stream: "s".into(),
        event_time: NOW,
        media: Media::Binary,
        duration: std::time::Duration::ZERO,
        reservation: Default::default(),
        same_time: Default::default(),
        assignment: 0,
        damage: Default::default(),
    };
    let samples = std::iter::repeat_n(Arc::new(sample), samples).collect();
    Part { samples, from: NOW, to: NOW, skew_ns: None, coverage: None, held: false }
}

/// A graph of one step that takes from two inputs.
fn fusion(missing: [OnMissing; 2]) -> Graph {
    let sources = [0, 1].map(|input| BindingSource::Input(InputId(input)));
    Graph {
        names: vec!["fused".into()],
        awaits: vec![Vec::new()],
        sources: vec![sources.into_iter().zip(missing).collect()],
        feeds: vec![Vec::new()],
        conditions: vec![None],
        views: vec![Vec::new()],
        input_names: vec!["video".into(), "audio".into()],
        each: vec![None],
    }
}

#[test]
fn step_runs_without_a_source_that_may_be_zeros() {
    use OnMissing::{Skip, Zeros};
    let (video, audio) = (Some("input video is missing"), Some("input audio is missing"));
    let none = Some("all of its sources are missing: input video is missing");
    for (missing, samples, expected) in [
        ([Skip, Skip], [1, 1], None),
        ([Skip, Skip], [1, 0], audio),
        ([Skip, Zeros], [1, 0], None),
        ([Skip, Zeros], [0, 1], video),
        ([Skip, Zeros], [0, 0], video),
        ([Zeros, Zeros], [0, 1], None),
        ([Zeros, Zeros], [0, 0], none),
    ] {
        let graph = fusion(missing);
        let mut bundle = bundle(false);
        bundle.parts = samples.into_iter().map(part).collect();
        let (job, _) = Job::start(1, bundle, &graph, NOW);
        assert_eq!(skipped(&job, 0), expected, "{missing:?} {samples:?}");
    }
}
