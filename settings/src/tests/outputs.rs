//! Views of raw heads and of text, compared with the outputs and the labels at the start.

use lockstep_engine::infer::head::{BoxFormat, HeadLayout};
use lockstep_engine::infer::signature::{Dim, Signature, TensorSpec};
use lockstep_engine::infer::tracks::TrackRule;
use lockstep_engine::tensor::DType;

use super::*;

fn tensor(name: &str, row: &[usize]) -> TensorSpec {
    let batch = Dim::Named("batch".to_owned());
    let shape = std::iter::once(batch).chain(row.iter().copied().map(Dim::Fixed)).collect();
    TensorSpec { name: name.to_owned(), dtype: DType::F32, shape, rows: None }
}

fn sees(_: &Path) -> Result<Description, String> {
    let signature = Signature {
        inputs: vec![tensor("image", &[3, 64, 64])],
        outputs: vec![
            tensor("head", &[84, 8400]),
            tensor("letters", &[50, 6]),
            tensor("flat", &[6]),
            TensorSpec { dtype: DType::I64, ..tensor("tokens", &[20]) },
        ],
        ..Signature::default()
    };
    Ok(Description { backend: "onnxruntime", signature })
}

/// Loads a pipeline with one view; `80.txt`, `6.txt` and `5.txt` have that many labels.
fn load_view(view: &str) -> Result<Pipeline, Problems> {
    let folder = tempfile::tempdir().expect("a folder");
    let version = folder.path().join("models/seen/1");
    std::fs::create_dir_all(&version).expect("a folder");
    std::fs::write(version.join("any.onnx"), "content").expect("a writable file");
    for count in [80, 6, 5] {
        let file = folder.path().join(format!("{count}.txt"));
        std::fs::write(file, "label\n".repeat(count)).expect("a writable file");
    }
    let text = format!(
        "[pipeline]\nname = \"seen\"\n[models]\nrepository = \"models\"\n[inputs.video]\ncontent_type = \
         \"image/jpeg\"\n[steps.seen]\nmodel = \"seen\"\n[steps.seen.inputs]\nimage = {{ from = \"video\", image = {{ \
         width = 64, height = 64 }} }}\n[steps.seen.outputs]\nit = {view}\n"
    );
    let path = folder.path().join("p.toml");
    std::fs::write(&path, text).expect("a writable file");
    load(&path, &Overrides::default(), &sees)
}

#[track_caller]
fn refused(view: &str, key: &str, said: &str) {
    let problems = load_view(view).map(|_| panic!("{view} loads")).unwrap_or_else(|problems| problems);
    let key = format!("steps.seen.outputs.it.{key}");
    let found = problems.list().iter().any(|problem| problem.key == key && problem.message.contains(said));
    assert!(found, "{problems}");
}

#[test]
fn raw_head_is_compared_with_the_output_and_labels() {
    let view = "{ detections = { head = \"yolov8\", output = \"head\", labels = \"80.txt\", nms = 0.45 } }";
    let pipeline = load_view(view).unwrap_or_else(|problems| panic!("{problems}"));
    let View::Anchors { output: 0, layout, format, choice, .. } = &pipeline.steps[0].outputs[0].view else {
        panic!("no raw head")
    };
    assert_eq!((*layout, *format), (HeadLayout::AttributesFirst, BoxFormat::Centre));
    assert_eq!(choice.suppression.map(|suppression| suppression.candidates), Some(3000));

    let head = |rest: &str| format!("{{ detections = {{ output = \"head\", {rest} }} }}");
    refused(&head("head = \"yolov5\""), "detections.head", "84 anchors and 8395 classes");
    refused(
        &head("head = \"yolov8\", labels = \"6.txt\""),
        "detections.head",
        "80 classes and the file 6 labels",
    );
    refused(&head("head = \"yolov8\", boxes = \"head\""), "detections.boxes", "remove it");
    refused(&head("boxes = \"head\", scores = \"flat\""), "detections.output", "no effect without head");
    let flat = "{ detections = { head = \"yolov8\", output = \"flat\" } }";
    refused(flat, "detections.output", "holds [attributes, anchors]");
}

#[test]
fn tracks_are_read_and_refused_for_revised_bundles() {
    let head = |rest: &str| format!("{{ detections = {{ output = \"head\", head = \"yolov8\"{rest} }} }}");
    let read = |rest: &str| {
        let pipeline = load_view(&head(rest)).unwrap_or_else(|problems| panic!("{problems}"));
        pipeline.steps[0].outputs[0].view.track()
    };
    assert_eq!(read(""), None);
    assert_eq!(read(", track = {}"), Some(TrackRule { min_iou: 0.3, max_age: Duration::from_secs(1) }));
    let rule = read(", track = { min_iou = 0.5, max_age = \"250ms\" }");
    assert_eq!(rule, Some(TrackRule { min_iou: 0.5, max_age: Duration::from_millis(250) }));
    refused(&head(", track = { min_iou = 1.5 }"), "detections.track.min_iou", "out of range 0..=1");
    refused(&head(", track = { age = \"1s\" }"), "detections.track.age", "");
    let revised = format!("{}\n[align]\nemit = \"early-and-final\"", head(", track = {}"));
    refused(&revised, "detections.track", "no bundle may be published twice");
    let each = format!(
        "{}\n[steps.each]\nmodel = \"seen\"\neach = \"seen.it\"\n[steps.each.inputs]\nimage = {{ from = \
                        \"video\", image = {{ width = 64, height = 64, crop = {{}} }} }}\n[steps.each.outputs]\nit = {}",
        head(""),
        head(", track = {}")
    );
    let problems = load_view(&each).map(|_| panic!("{each} loads")).unwrap_or_else(|problems| problems);
    let found = problems.list().iter().any(|problem| {
        problem.key == "steps.each.outputs.it.detections.track"
            && problem.message.contains("runs once per detection")
    });
    assert!(found, "{problems}");
}

#[test]
fn ctc_text_is_compared_with_the_output_and_labels() {
    let view = "{ ctc = { output = \"letters\", labels = \"6.txt\", blank = 5, space = \"|\" } }";
    let pipeline = load_view(view).unwrap_or_else(|problems| panic!("{problems}"));
    let View::CtcText { output: 1, alphabet, .. } = &pipeline.steps[0].outputs[0].view else {
        panic!("no text")
    };
    assert_eq!((alphabet.blank, alphabet.space.as_deref()), (5, Some("|")));

    let letters = |rest: &str| format!("{{ ctc = {{ output = \"letters\", {rest} }} }}");
    refused(&letters("labels = \"5.txt\""), "ctc.labels", "6 classes and the file 5 labels");
    refused(&letters("labels = \"6.txt\", blank = 6"), "ctc.labels", "the blank is class 6 of 6");
    refused(&letters("labels = \"7.txt\""), "ctc.labels", "is no file");
    refused(&letters("blank = 0"), "ctc.labels", "is missing");
    refused("{ ctc = { output = \"flat\", labels = \"6.txt\" } }", "ctc.output", "holds [steps, classes]");
}

#[test]
fn token_text_is_compared_with_the_output_and_tokenizer() {
    let tokenizer = root().join("tests/golden/preprocess/tokenizer.json");
    let text = |rest: &str| format!("{{ text = {{ output = \"tokens\", {rest} }} }}");
    let whole = text(&format!("tokenizer = {tokenizer:?}, end = 2"));
    let pipeline = load_view(&whole).unwrap_or_else(|problems| panic!("{problems}"));
    let View::TokenText { output: 3, end: Some(2), .. } = &pipeline.steps[0].outputs[0].view else {
        panic!("no text")
    };
    refused(&text("end = 2"), "text.tokenizer", "is missing");
    refused(&text("tokenizer = \"none.json\""), "text.tokenizer", "cannot be read");
    refused(&text("tokenizer = \"6.txt\""), "text.tokenizer", "as a Hugging Face tokenizer.json");
    refused(&text(&format!("tokenizer = {tokenizer:?}, end = 999999")), "text.end", "has no token 999999");
    let flat = format!("{{ text = {{ output = \"flat\", tokenizer = {tokenizer:?} }} }}");
    refused(&flat, "text.output", "choose an output that is i32 or i64 and holds the tokens of a text");
}
