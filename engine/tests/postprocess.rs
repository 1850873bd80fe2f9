//! Tests of views against references in Python. `tests/golden/postprocess/make.py` makes the inputs and the expected
//! values.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests may stop, as tests do")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test reads golden files and measures time"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_engine::infer::head::{BoxFormat, HeadLayout};
use lockstep_engine::infer::step::{
    BoxChoice, CtcAlphabet, OutputView, Reduce, ScoreActivation, Suppression, View,
};
use lockstep_engine::infer::view::LabelledView;
use lockstep_engine::tensor::{DType, Tensor};
use serde_json::Value;

fn file(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/postprocess");
    std::fs::read(folder.join(name)).expect(name)
}

/// The cases of one view with their tensors.
fn cases(view: &str) -> Vec<(Value, Vec<Tensor>)> {
    let inputs: Vec<f32> = file("inputs.f32")
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes(four.try_into().expect("four")))
        .collect();
    let tensor = |tensor: &Value| {
        let shape = tensor["shape"].as_array().expect("a shape").iter().map(size).collect::<Vec<_>>();
        let (at, count) = (size(&tensor["at"]), shape.iter().product::<usize>());
        Tensor::new(shape, &inputs[at..at + count]).expect("as many as the shape says")
    };
    let cases: Vec<Value> = serde_json::from_slice(&file("cases.json")).expect("JSON");
    let cases = cases.into_iter().filter(|case| case["view"] == view).map(|case| {
        let tensors = case["tensors"].as_array().expect("tensors").iter().map(tensor).collect();
        (case, tensors)
    });
    cases.collect()
}

fn size(value: &Value) -> usize {
    usize::try_from(value.as_u64().expect("a whole number")).expect("small")
}

fn activation(case: &Value) -> ScoreActivation {
    match case["activation"].as_str() {
        Some("sigmoid") => ScoreActivation::Sigmoid,
        Some("softmax") => ScoreActivation::Softmax,
        _ => ScoreActivation::Identity,
    }
}

fn choice(choice: &Value) -> BoxChoice {
    let number = |key: &str| choice[key].as_f64().map(|number| number as f32);
    let count = |key: &str| choice.get(key).map(size);
    BoxChoice {
        min_score: number("min_score").unwrap_or(0.0),
        suppression: number("nms").map(|iou| Suppression {
            iou,
            class_agnostic: choice["class_agnostic"] == true,
            candidates: count("candidates").unwrap_or(3000),
        }),
        most: count("most"),
    }
}

fn shown(view: View, tensors: Vec<Tensor>) -> Value {
    labelled(view, None, tensors).expect("it fits")
}

fn labelled(view: View, labels: Option<Arc<[String]>>, tensors: Vec<Tensor>) -> Result<Value, String> {
    let view = LabelledView::new(OutputView { name: "it".to_owned(), view }, labels);
    view.show(&tensors.into_iter().collect(), None)
}

/// Asserts that two numbers, or nulls, are equal within a share of the greater one.
fn assert_close(ours: &Value, theirs: &Value, share: f64, least: f64, name: &str) {
    match (ours.as_f64(), theirs.as_f64()) {
        (Some(a), Some(b)) => {
            let most = (share * a.abs().max(b.abs())).max(least);
            assert!((a - b).abs() <= most, "{name}: {a}, expected {b}");
        }
        _ => assert_eq!(ours, theirs, "{name}"),
    }
}

/// Asserts that the same detections come in the same order. Boxes of results are rounded to a hundredth of a pixel.
fn assert_same_detections(ours: &Value, theirs: &Value, name: &str) {
    let (ours, theirs) = (ours.as_array().expect("a list"), theirs.as_array().expect("a list"));
    assert_eq!(ours.len(), theirs.len(), "{name}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours["class"], theirs["class"], "{name}");
        assert_close(&ours["score"], &theirs["score"], 1e-6, 0.0, name);
        for corner in 0..4 {
            assert_close(&ours["box"][corner], &theirs["box"][corner], 1e-6, 0.0051, name);
        }
    }
}

#[test]
fn activations_agree_with_the_reference() {
    let cases = cases("scores");
    assert_eq!(cases.len(), 18);
    for (case, tensors) in cases {
        let name = case["name"].as_str().expect("a name");
        let view =
            View::Scores { output: 0, activation: activation(&case), reduce: Reduce::All, threshold: None };
        let ours = shown(view, tensors);
        let (ours, theirs) = (ours["scores"].as_array().expect("scores"), &case["expected"]);
        assert_eq!(ours.len(), theirs.as_array().expect("scores").len(), "{name}");
        for (place, ours) in ours.iter().enumerate() {
            // Results have the precision of f32, and its smallest numbers.
            assert_close(ours, &theirs[place], 1e-7, 1e-44, name);
        }
    }
}

fn boxes(choice: BoxChoice) -> View {
    View::Detections {
        boxes: 0,
        scores: 1,
        classes: Some(2),
        labels: None,
        landmarks: None,
        choice,
        track: None,
    }
}

#[test]
fn suppression_agrees_with_the_reference() {
    let cases = cases("detections");
    assert!(cases.len() > 20, "{} cases", cases.len());
    for (case, tensors) in cases {
        let name = case["name"].as_str().expect("a name");
        let ours = shown(boxes(choice(&case["choice"])), tensors);
        assert_same_detections(&ours, &case["expected"], name);
    }
}

fn head(layout: HeadLayout, format: BoxFormat, choice: BoxChoice) -> View {
    View::Anchors { output: 0, layout, format, labels: None, choice, track: None }
}

fn names(count: usize) -> Option<Arc<[String]>> {
    Some((0..count).map(|class| class.to_string()).collect())
}

#[test]
fn raw_heads_agree_with_the_reference() {
    let cases = cases("anchors");
    assert_eq!(cases.len(), 18);
    for (case, tensors) in cases {
        let name = case["name"].as_str().expect("a name");
        let (layout, axis, offset) = match case["head"].as_str() {
            Some("yolov8") => (HeadLayout::AttributesFirst, 0, 4),
            _ => (HeadLayout::AnchorsFirst, 1, 5),
        };
        let corners = case["box_format"] == "xyxy";
        let format = if corners { BoxFormat::Corners } else { BoxFormat::Centre };
        let labels = names(tensors[0].shape()[axis] - offset);
        let ours = labelled(head(layout, format, choice(&case["choice"])), labels, tensors).expect(name);
        assert_same_detections(&ours, &case["expected"], name);
        for found in ours.as_array().expect("a list") {
            assert_eq!(found["label"], found["class"].to_string(), "{name}");
        }
    }
}

#[test]
fn raw_head_of_another_shape_is_refused() {
    let view = |layout| head(layout, BoxFormat::Centre, BoxChoice::from_score(0.5));
    let zeros = |shape: &[usize]| vec![Tensor::zeros(DType::F32, shape)];
    let refused = |layout, labels, shape: &[usize], said: &str| {
        let error = labelled(view(layout), labels, zeros(shape)).expect_err(said);
        assert!(error.contains(said), "{error}");
    };
    refused(HeadLayout::AnchorsFirst, None, &[84, 8400], "84 anchors and 8395 classes; write another head");
    refused(HeadLayout::AttributesFirst, None, &[8400, 85], "85 anchors and 8396 classes");
    refused(HeadLayout::AttributesFirst, names(80), &[85, 8400], "81 classes and the file 80 labels");
    refused(HeadLayout::AttributesFirst, None, &[4, 8400], "4 numbers for each anchor");
    refused(HeadLayout::AnchorsFirst, None, &[3, 80, 80, 85], "a row has 4 axes");
    // Labels prove that a small picture has fewer anchors than numbers for each.
    assert_eq!(
        labelled(view(HeadLayout::AttributesFirst), names(80), zeros(&[84, 21])),
        Ok(Value::Array(vec![]))
    );
}

#[test]
fn ctc_text_agrees_with_the_reference() {
    let cases = cases("ctc");
    assert_eq!(cases.len(), 14);
    for (case, tensors) in cases {
        let name = case["name"].as_str().expect("a name");
        let alphabet = CtcAlphabet {
            blank: size(&case["blank"]),
            space: case["space"].as_str().map(str::to_owned),
            activation: activation(&case),
        };
        let view = View::CtcText { output: 0, labels: PathBuf::new(), alphabet };
        let labels = case["labels"].as_array().expect("labels").iter();
        let labels = labels.map(|label| label.as_str().expect("a label").to_owned()).collect();
        let ours = labelled(view, Some(labels), tensors).expect(name);
        assert_eq!(ours["text"], case["expected"]["text"], "{name}");
        assert_close(&ours["log_probability"], &case["expected"]["log_probability"], 1e-6, 1e-12, name);
    }
}

#[test]
fn ctc_alphabet_that_does_not_fit_is_refused() {
    let refused = |blank, count, said: &str| {
        let alphabet = CtcAlphabet { blank, space: None, activation: ScoreActivation::Softmax };
        let view = View::CtcText { output: 0, labels: PathBuf::new(), alphabet };
        let error = labelled(view, names(count), vec![Tensor::zeros(DType::F32, &[3, 6])]).expect_err(said);
        assert!(error.contains(said), "{error}");
    };
    refused(0, 5, "6 classes and the file 5 labels");
    refused(6, 6, "the blank is class 6 of 6");
}

/// The worst case: no box overlaps another, so none is suppressed and all candidates are compared with one another.
#[test]
fn suppression_of_100_000_boxes_is_bounded() {
    let count = 100_000_usize;
    let corner = |place: usize| ((place % 400) as f32 * 2.0, (place / 400) as f32 * 2.0);
    let corners: Vec<f32> = (0..count).map(corner).flat_map(|(x, y)| [x, y, x + 1.0, y + 1.0]).collect();
    let scores: Vec<f32> = (0..count).map(|place| (place % 977) as f32 / 977.0).collect();
    let tensors = vec![
        Tensor::new(vec![count, 4], &corners).expect("boxes"),
        Tensor::new(vec![count], &scores).expect("scores"),
        Tensor::new(vec![count], &vec![0.0_f32; count]).expect("classes"),
    ];
    let suppression = Suppression { iou: 0.45, class_agnostic: false, candidates: 3000 };
    let view = boxes(BoxChoice { min_score: 0.0, suppression: Some(suppression), most: None });
    let begun = Instant::now();
    let found = shown(view, tensors);
    let took = begun.elapsed();
    println!("{took:?}");
    assert_eq!(found.as_array().map(Vec::len), Some(3000));
    assert!(took < Duration::from_secs(2), "{took:?}");
}
