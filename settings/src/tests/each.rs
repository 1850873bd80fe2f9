//! Steps that run once per detection, compared with the step that finds the detections.

use lockstep_engine::infer::signature::{Dim, Signature, TensorSpec};
use lockstep_engine::infer::step::{Binding, EachDetection};
use lockstep_engine::preprocess::Preprocess;
use lockstep_engine::preprocess::spec::{AlignedSpec, CropAspect, CropSpec, ImageRegion};
use lockstep_engine::tensor::DType;

use super::*;

fn tensor(name: &str, row: &[usize]) -> TensorSpec {
    let batch = Dim::Named("batch".to_owned());
    let shape = std::iter::once(batch).chain(row.iter().copied().map(Dim::Fixed)).collect();
    TensorSpec { name: name.to_owned(), dtype: DType::F32, shape, rows: None }
}

fn ragged(name: &str, dtype: DType, item: &[usize]) -> TensorSpec {
    let count = Dim::Named("n".to_owned());
    let shape = std::iter::once(count).chain(item.iter().copied().map(Dim::Fixed)).collect();
    TensorSpec { name: name.to_owned(), dtype, shape, rows: Some("row".to_owned()) }
}

/// Four models: two find objects, one looks at them, and one takes what was found out about them.
fn tells(file: &Path) -> Result<Description, String> {
    let model = file.to_string_lossy();
    let signature = match ["finder", "ragged", "taker"].iter().position(|name| model.contains(name)) {
        Some(1) => Signature {
            inputs: vec![tensor("image", &[3, 64, 64])],
            outputs: vec![
                ragged("boxes", DType::F32, &[4]),
                ragged("scores", DType::F32, &[]),
                ragged("feature", DType::F32, &[8]),
                TensorSpec { rows: None, ..ragged("row", DType::I64, &[]) },
            ],
            ..Signature::default()
        },
        Some(2) => Signature {
            inputs: vec![tensor("x", &[8])],
            outputs: vec![tensor("kind", &[4])],
            ..Signature::default()
        },
        Some(_) => Signature {
            inputs: vec![tensor("image", &[3, 64, 64])],
            outputs: vec![tensor("boxes", &[9, 4]), tensor("scores", &[9]), tensor("points", &[9, 5, 2])],
            ..Signature::default()
        },
        None => Signature {
            inputs: vec![tensor("crop", &[3, 32, 32])],
            outputs: vec![tensor("kind", &[4])],
            ..Signature::default()
        },
    };
    Ok(Description { backend: "onnxruntime", signature })
}

/// A cascade; each change replaces a text that it has.
fn load_with(changes: &[(&str, &str)]) -> Result<Pipeline, Problems> {
    let folder = tempfile::tempdir().expect("a folder");
    for model in ["finder", "ragged", "looker", "taker"] {
        let version = folder.path().join("models").join(model).join("1");
        std::fs::create_dir_all(&version).expect("a folder");
        std::fs::write(version.join("any.onnx"), "content").expect("a writable file");
    }
    let mut text = "[pipeline]\nname = \"seen\"\n[models]\nrepository = \"models\"\n\
        [inputs.video]\ncontent_type = \"image/jpeg\"\n[inputs.other]\ncontent_type = \"image/jpeg\"\n\
        [align]\npivot = \"video\"\nother = { latest = { max_age = \"1s\" } }\n\
        [steps.kinds]\nmodel = \"looker\"\neach = \"faces.found\"\n\
        [steps.kinds.inputs]\ncrop = { from = \"video\", image = { width = 32, height = 32, crop = {} } }\n\
        [steps.kinds.outputs]\nkind = { topk = { output = \"kind\" } }\n\
        [steps.faces]\nmodel = \"finder\"\n\
        [steps.faces.inputs]\nimage = { from = \"video\", image = { width = 64, height = 64 } }\n\
        [steps.faces.outputs]\n\
        found = { detections = { boxes = \"boxes\", scores = \"scores\" } }\nall = { scores = { output = \"scores\" } }\n"
        .to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let path = folder.path().join("p.toml");
    std::fs::write(&path, text).expect("a writable file");
    load(&path, &Overrides::default(), &tells)
}

/// Expects one mistake, at this key and with this text.
#[track_caller]
fn refused(changes: &[(&str, &str)], key: &str, said: &str) {
    let problems = load_with(changes).map(|_| panic!("it loads")).unwrap_or_else(|problems| problems);
    let found = problems.list();
    assert!(found.len() == 1 && found[0].key == key && found[0].message.contains(said), "{problems}");
}

fn region(pipeline: &Pipeline, step: usize) -> &ImageRegion {
    match &pipeline.steps[step].bindings[0] {
        Binding::Input { preprocess: Preprocess::Image(spec), .. } => &spec.region,
        other => panic!("{other:?}"),
    }
}

#[test]
fn step_with_each_comes_after_the_step_that_finds() {
    let pipeline = load_with(&[]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((pipeline.steps[0].name.as_str(), pipeline.steps[0].each.as_ref()), ("faces", None));
    let each = EachDetection { step: 0, view: 0, most: 100 };
    assert_eq!((pipeline.steps[1].name.as_str(), pipeline.steps[1].each.as_ref()), ("kinds", Some(&each)));
    assert_eq!(pipeline.steps[1].takes_from(), [0]);
    let plain = CropSpec { margin: 0.0, aspect: CropAspect::Keep, fill: [0; 3] };
    assert_eq!(region(&pipeline, 1), &ImageRegion::Crop(plain));
}

#[test]
fn crop_and_align_read_all_their_keys() {
    let crop = "fill = [1, 2, 3], crop = { margin = 0.5, aspect = \"square\" }";
    let pipeline = load_with(&[("crop = {}", crop), ("each =", "each_max = 7\neach =")]);
    let pipeline = pipeline.unwrap_or_else(|problems| panic!("{problems}"));
    let wide = CropSpec { margin: 0.5, aspect: CropAspect::Square, fill: [1, 2, 3] };
    assert_eq!(region(&pipeline, 1), &ImageRegion::Crop(wide));
    assert_eq!(pipeline.steps[1].each.as_ref().map(|each| each.most), Some(7));
    let five = "align = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10.5]]";
    let points = ("scores = \"scores\" } }\nall", "scores = \"scores\", landmarks = \"points\" } }\nall");
    let pipeline = load_with(&[("crop = {}", five), points]).unwrap_or_else(|problems| panic!("{problems}"));
    let points = vec![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 10.5]];
    assert_eq!(region(&pipeline, 1), &ImageRegion::Aligned(AlignedSpec { points, fill: [0; 3] }));
}

#[test]
fn each_names_a_view_of_detections() {
    let each = |to: &'static str| [("each = \"faces.found\"", to)];
    refused(&each("each = \"faces\""), "steps.kinds.each", "names no view");
    refused(&each("each = \"face.found\""), "steps.kinds.each", "did you mean \"faces\"?");
    refused(&each("each = \"faces.foun\""), "steps.kinds.each", "did you mean \"found\"?");
    refused(&each("each = \"faces.all\""), "steps.kinds.each", "shows no detections");
    refused(&each("each = \"faces.boxes\""), "steps.kinds.each", "detections there: found");
    refused(&each("each = \"faces.found\"\neach_max = 0"), "steps.kinds.each_max", "out of range");
    let no_each = [("each = \"faces.found\"", "each_max = 5"), (", crop = {}", "")];
    refused(&no_each, "steps.kinds.each_max", "no effect without each");
    refused(&each("each = \"kinds.kind\""), "steps.kinds", "waits for itself");
}

#[test]
fn crop_needs_each_and_the_image_of_the_detections() {
    let place = "steps.kinds.inputs.crop.image";
    refused(&[("each = \"faces.found\"\n", "")], &format!("{place}.crop"), "no effect without each");
    refused(&[(", crop = {}", "")], "steps.kinds.each", "no input depends on the detection");
    let other = [("crop = { from = \"video\"", "crop = { from = \"other\"")];
    refused(&other, &format!("{place}.crop"), "write from = \"video\"");
    let scaled = [("crop = {}", "decode = \"scaled\", crop = {}")];
    refused(&scaled, &format!("{place}.decode"), "a crop is a part");
    let missing = [("crop = {} }", "crop = {} }, missing = \"zeros\"")];
    refused(&missing, "steps.kinds.inputs.crop.missing", "without this image there are no detections");
    refused(&[("crop = {}", "resize = \"exact\", crop = {}")], &format!("{place}.resize"), "\"target\"");
    refused(&[("crop = {}", "crop = { margin = -1 }")], &format!("{place}.crop.margin"), "out of range");
    let both = [("crop = {}", "crop = {}, align = [[1, 2], [3, 4]]")];
    refused(&both, &format!("{place}.align"), "contradicts crop");
}

#[test]
fn detection_takes_its_row_of_a_ragged_output() {
    let input = "crop = { from = \"video\", image = { width = 32, height = 32, crop = {} } }";
    let changes = [
        ("model = \"finder\"", "model = \"ragged\""),
        ("model = \"looker\"", "model = \"taker\""),
        (input, "x = { from = \"faces.feature\" }"),
    ];
    let pipeline = load_with(&changes).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(pipeline.steps[1].bindings, [Binding::DetectionRow { step: 0, output: 2 }]);
    let other = |to: &'static str| [changes[0], changes[1], (input, to)];
    refused(&other("x = { from = \"faces.scores\" }"), "steps.kinds.inputs.x.from", "takes f32 [batch, 8]");
    let missing = other("x = { from = \"faces.feature\", missing = \"zeros\" }");
    refused(&missing, "steps.kinds.inputs.x.missing", "each detection has its row");
    let no_each = [changes[0], changes[1], changes[2], ("each = \"faces.found\"\n", "")];
    refused(&no_each, "steps.kinds.inputs.x.from", "no row for each bundle");
}

#[test]
fn align_needs_as_many_landmarks_as_points() {
    let place = "steps.kinds.inputs.crop.image";
    let two = ("crop = {}", "align = [[1, 2], [3, 4]]");
    let points = ("scores = \"scores\" } }\nall", "scores = \"scores\", landmarks = \"points\" } }\nall");
    refused(&[two], &format!("{place}.align"), "faces.found has none");
    refused(&[two, points], &format!("{place}.align"), "gives 5 landmarks");
    refused(&[("crop = {}", "align = [[1, 2]]"), points], &format!("{place}.align"), "at least two points");
    refused(&[("crop = {}", "align = [[1, 2, 3]]"), points], &format!("{place}.align"), "write two, x and y");
}

#[test]
fn outputs_of_each_detection_are_no_input_of_a_model() {
    let text = "[steps.next]\nmodel = \"looker\"\n[steps.next.inputs]\ncrop = { from = \"kinds.kind\" }\n[steps.kinds]\n";
    let problems =
        load_with(&[("[steps.kinds]\n", text)]).map(|_| panic!("it loads")).unwrap_or_else(|found| found);
    assert!(
        problems
            .to_string()
            .contains("steps.next.inputs.crop.from: \"kinds.kind\" has a value for each detection"),
        "{problems}"
    );
    let when = [(
        "model = \"finder\"\n",
        "model = \"finder\"\n[steps.last]\nmodel = \"finder\"\nwhen = \"kinds.kind.score > 1\"\n[steps.last.inputs]\nimage = { from = \"video\", image = { width = 64, height = 64 } }\n",
    )];
    refused(&when, "steps.last.when", "kinds runs once per detection");
    let reserved = [("kind = { topk", "box = { topk")];
    refused(&reserved, "steps.kinds.outputs.box", "choose another name");
}
