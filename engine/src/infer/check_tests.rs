use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::batch::BatchPolicy;
use crate::infer::load_model::{Device, GpuProvider, LoadModel};
use crate::infer::manifest::Manifest;
use crate::infer::step::{BoxChoice, Care, OutputView, Reduce, ScoreActivation};
use crate::infer::unit::ModelUnit;
use crate::position::InputId;

fn model(text: &str) -> LoadModel {
    LoadModel {
        name: "model".to_owned(),
        version: "1".to_owned(),
        file: PathBuf::new(),
        sha256: None,
        weights: None,
        signature: Manifest::parse(text).expect("a good model.toml").signature,
        device: Device::Cpu,
        provider: GpuProvider::default(),
        threads: 1,
        warm_up: Vec::new(),
        optimize: Default::default(),
        extents: Extents::default(),
    }
}

fn step(name: &str, text: &str, bindings: Vec<Binding>, outputs: Vec<View>) -> Step {
    let outputs = outputs.into_iter().enumerate();
    Step {
        name: name.to_owned(),
        unit: ModelUnit { model: model(text), backend: "libtorch".to_owned(), residency: Default::default() },
        instances: 1,
        batch: BatchPolicy { max_size: 8, max_delay: Duration::ZERO, ..BatchPolicy::default() },
        bindings,
        when: None,
        outputs: outputs.map(|(place, view)| OutputView { name: format!("view{place}"), view }).collect(),
        care: Care::default(),
        each: None,
    }
}

/// The tests encode a row's shape in the length of bytes: the tables of preprocessing belong to another module.
fn bytes(length: usize) -> Binding {
    Binding::Input { input: InputId(0), preprocess: Preprocess::Bytes { length }, missing: OnMissing::Skip }
}

fn row_of(preprocess: &Preprocess) -> (DType, Vec<usize>) {
    match preprocess {
        Preprocess::Bytes { length: 1 } => (DType::F32, vec![3, 240, 320]),
        Preprocess::Bytes { length } => (DType::F32, vec![*length]),
        _ => (DType::U8, vec![]),
    }
}

const FACES: &str = include_str!("../../../models/faces/1/model.toml");
const VOICE: &str = include_str!("../../../models/voice/1/model.toml");

fn faces(bindings: Vec<Binding>) -> Step {
    let found = View::Detections {
        boxes: 0,
        scores: 1,
        classes: None,
        labels: None,
        landmarks: Some(2),
        choice: BoxChoice::from_score(0.7),
        track: None,
    };
    step("faces", FACES, bindings, vec![found])
}

fn voice(bindings: Vec<Binding>) -> Step {
    let speech = View::Scores {
        output: 0,
        activation: ScoreActivation::Identity,
        reduce: Reduce::Max,
        threshold: Some(0.5),
    };
    step("voice", VOICE, bindings, vec![speech])
}

fn carried() -> [Binding; 2] {
    [Binding::State { output: 1 }, Binding::State { output: 2 }]
}

#[track_caller]
fn refused(steps: &[Step], said: &str) {
    let errors = check_steps(steps, &row_of).expect_err(said);
    assert!(errors.iter().any(|error| error.contains(said)), "{errors:?}");
}

#[test]
fn steps_that_fit_give_the_extents_for_the_warm_up() {
    let [state, context] = carried();
    let known = check_steps(&[faces(vec![bytes(1)]), voice(vec![bytes(1024), state, context])], &row_of);
    let known = known.expect("they fit");
    let named = |step: usize, name: &str| known[step].named().get(name).copied();
    assert_eq!((named(0, "height"), named(0, "width"), named(1, "n")), (Some(240), Some(320), Some(2)));
}

#[test]
fn mismatch_names_the_tensor_and_both_shapes() {
    let [state, context] = carried();
    refused(
        &[voice(vec![bytes(1000), state.clone(), context.clone()])],
        "step voice: input audio is f32 [1000] a row, expected f32 [512*n] a row",
    );
    refused(&[faces(vec![bytes(7)])], "input frames is f32 [7] a row, expected f32 [3, height, width] a row");
    refused(&[faces(vec![])], "0 inputs are bound, the model model takes 1: frames");
    refused(
        &[voice(vec![bytes(512), context.clone(), state.clone()])],
        "input state cannot be bound to the state context",
    );
    refused(
        &[voice(vec![state.clone(), state.clone(), context.clone()])],
        "input audio cannot be bound to the state state",
    );
    refused(&[voice(vec![bytes(512), bytes(64), context.clone()])], "input state carries the model's state");
    refused(
        &[faces(vec![Binding::Zeros])],
        "input frames is f32 [batch, 3, height, width]; it cannot be zeros",
    );
    check_steps(&[voice(vec![bytes(512), Binding::Zeros, Binding::Zeros])], &row_of).expect("without memory");
}

#[test]
fn step_takes_rows_of_earlier_steps_only() {
    let [state, context] = carried();
    let first = voice(vec![bytes(1024), state.clone(), context.clone()]);
    let from = |step, output| {
        voice(vec![
            Binding::Output { step, output, missing: OnMissing::Skip },
            state.clone(),
            context.clone(),
        ])
    };
    refused(&[first.clone(), from(0, 0)], "input audio is f32 [2] a row, expected f32 [512*n] a row");
    refused(&[first.clone(), from(1, 0)], "does not come before");
    refused(&[first.clone(), from(0, 9)], "has no output number 10");
    refused(&[faces(vec![bytes(1)]), from(0, 1)], "output scores of step faces is ragged");
}

#[test]
fn zeros_for_a_missing_source_need_a_known_shape() {
    const FUSION: &str = r#"
        backend = "libtorch"
        file = "any"
        [[inputs]]
        name = "a"
        dtype = "f32"
        shape = ["batch", "n"]
        [[inputs]]
        name = "b"
        dtype = "f32"
        shape = ["batch", "n"]
        [[inputs]]
        name = "there"
        dtype = "bool"
        shape = ["batch", "sources"]
        [[outputs]]
        name = "y"
        dtype = "f32"
        shape = ["batch", 1]
    "#;
    const FREE: &str = r#"
        backend = "libtorch"
        file = "any"
        [[inputs]]
        name = "x"
        dtype = "f32"
        shape = ["batch", 512]
        [[outputs]]
        name = "words"
        dtype = "f32"
        shape = ["batch", "words"]
    "#;
    let first = || step("first", FREE, vec![bytes(512)], vec![]);
    let from = |missing| Binding::Output { step: 0, output: 0, missing };
    let presence = |inputs: &[usize]| Binding::Presence { inputs: inputs.to_vec() };
    let fusion = |bindings: Vec<Binding>| [first(), step("fusion", FUSION, bindings, vec![])];
    let (skip, zeros) = (OnMissing::Skip, OnMissing::Zeros);

    let known =
        check_steps(&fusion(vec![from(zeros), bytes(64), presence(&[1, 0])]), &row_of).expect("n is 64");
    assert_eq!(known[1].named().get("n"), Some(&64));
    assert_eq!(known[1].named().get("sources"), Some(&2));
    check_steps(&fusion(vec![from(skip), from(skip), presence(&[0])]), &row_of).expect("never zeros");
    refused(
        &fusion(vec![from(zeros), from(skip), presence(&[0])]),
        "input a is f32 [batch, n]; it cannot be zeros, since an extent of it is known from no other input; write missing \
         = \"skip\"",
    );
    refused(
        &fusion(vec![bytes(64), Binding::Zeros, presence(&[0, 1])]),
        "input there is the presence of b, which has no source that could be missing",
    );
}

#[test]
fn views_are_checked_against_their_outputs() {
    let with = |view: View| {
        let mut step = faces(vec![bytes(1)]);
        step.outputs = vec![OutputView { name: "shown".to_owned(), view }];
        step
    };
    let found = |boxes, scores, landmarks| View::Detections {
        boxes,
        scores,
        classes: None,
        labels: None,
        landmarks: Some(landmarks),
        choice: BoxChoice::from_score(0.0),
        track: None,
    };
    refused(&[with(View::Raw { output: 4 })], "output number 5 is none of the 4");
    refused(&[with(found(2, 1, 2))], "output landmarks is f32 [faces, 5, 2], expected floats [n, 4] a row");
    refused(&[with(found(0, 3, 2))], "output frame_index is i64 [faces], expected floats [n] a row");
    refused(&[with(found(0, 1, 0))], "output boxes is f32 [faces, 4], expected floats [n, points, 2] a row");
    refused(&[with(View::Embedding { output: 0, normalize: true })], "expected floats [dimensions] a row");
    let topk = View::TopK { output: 2, k: 3, labels: None, activation: ScoreActivation::Softmax };
    refused(
        &[with(topk)],
        "step faces: result shown: output landmarks is f32 [faces, 5, 2], expected floats [classes]",
    );
}

#[test]
fn batches_beyond_the_models_limit_are_refused() {
    let mut step = faces(vec![bytes(1)]);
    step.unit.model.signature.max_batch = Some(4);
    refused(&[step], "batches of up to 8 are asked for, the model model takes at most 4");
}
