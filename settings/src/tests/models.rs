//! Models of the repository, with and without a `model.toml`.

use lockstep_engine::infer::digest::FileDigest;
use lockstep_engine::infer::signature::{Dim, Signature, TensorSpec};
use lockstep_engine::infer::step::OnOpenCircuit;
use lockstep_engine::tensor::DType;

use super::*;

/// Some digest: settings do not read the model's file.
const DIGEST: &str = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";

const PIPELINE: &str = r#"
[pipeline]
name = "told"
[models]
repository = "models"
[inputs.numbers]
content_type = "application/octet-stream"
[steps.told]
model = "told"
[steps.told.inputs]
x = { from = "numbers", bytes = { length = 4 } }
"#;

fn tensor(name: &str, dim: &str) -> TensorSpec {
    let shape = vec![Dim::Named(dim.to_owned()), Dim::Fixed(4)];
    TensorSpec { name: name.to_owned(), dtype: DType::U8, shape, rows: None }
}

fn told(dim: &str) -> Description {
    let signature = Signature {
        inputs: vec![tensor("x", dim)],
        outputs: vec![tensor("y", "batch")],
        ..Signature::default()
    };
    Description { backend: "onnxruntime", signature }
}

fn load_beside(files: &[&str], describe: Describe<'_>) -> Result<Pipeline, Problems> {
    let folder = tempfile::tempdir().expect("a folder");
    let version = folder.path().join("models/told/1");
    std::fs::create_dir_all(&version).expect("a folder");
    for file in files {
        std::fs::write(version.join(file), "content").expect("a writable file");
    }
    let path = folder.path().join("p.toml");
    std::fs::write(&path, PIPELINE).expect("a writable file");
    load(&path, &Overrides::default(), describe)
}

#[test]
fn file_that_tells_its_signature_needs_no_model_toml() {
    let pipeline = load_beside(&["any.onnx", "labels.txt"], &|file| {
        assert!(file.ends_with("models/told/1/any.onnx"), "{}", file.display());
        Ok(told("batch"))
    });
    let pipeline = pipeline.unwrap_or_else(|problems| panic!("{problems}"));
    let step = &pipeline.steps[0];
    assert_eq!(
        (step.unit.backend.as_str(), &step.unit.model.signature),
        ("onnxruntime", &told("batch").signature)
    );
    assert_eq!(step.unit.model.version, "1");
}

#[test]
fn file_that_tells_too_little_is_refused_with_the_remedy() {
    let refused = |files: &[&str], describe: Describe<'_>| match load_beside(files, describe) {
        Ok(_) => panic!("it loads"),
        Err(problems) => problems.to_string(),
    };
    let error = refused(&["any.onnx"], &|_| Ok(told("rows")));
    assert!(error.contains("without the batch axis") && error.contains("lockstep models init"), "{error}");
    assert!(refused(&["any.onnx"], &tells_nothing).contains("any.onnx tells nothing"));
    // Which of the two would it be?
    let error = refused(&["a.onnx", "b.onnx"], &|_| Ok(told("batch")));
    assert!(error.contains("told/1 has 2 .onnx files and no model.toml"), "{error}");
}

#[test]
fn step_and_fallback_have_the_digest_of_model_toml() {
    let folder = tempfile::tempdir().expect("a folder");
    let version = folder.path().join("models/told/1");
    std::fs::create_dir_all(&version).expect("a folder");
    std::fs::write(version.join("any.onnx"), "content").expect("a writable file");
    let digest: FileDigest = DIGEST.parse().expect("64 digits");
    std::fs::write(version.join("model.toml"), told("batch").to_toml("any.onnx", digest)).expect("writable");
    let path = folder.path().join("p.toml");
    let fallback = "model = \"told\"\non_open_circuit = \"fallback\"\nfallback = { model = \"told\" }";
    std::fs::write(&path, PIPELINE.replace("model = \"told\"", fallback)).expect("a writable file");
    let pipeline = load(&path, &Overrides::default(), &tells_nothing);
    let pipeline = pipeline.unwrap_or_else(|problems| panic!("{problems}"));
    let step = &pipeline.steps[0];
    assert_eq!(step.unit.model.sha256, Some(digest));
    let OnOpenCircuit::Fallback(fallback) = &step.care.on_open_circuit else { panic!("no fallback") };
    assert_eq!(fallback.model.sha256, Some(digest));
}

#[test]
fn step_has_the_weights_of_model_toml_which_must_be_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let version = folder.path().join("models/told/1");
    std::fs::create_dir_all(&version).expect("a folder");
    std::fs::write(version.join("any.onnx"), "content").expect("a writable file");
    let digest: FileDigest = DIGEST.parse().expect("64 digits");
    let text = told("batch").to_toml("any.onnx", digest);
    let text = format!("{text}[weights]\nfile = \"told.safetensors\"\n");
    std::fs::write(version.join("model.toml"), text).expect("writable");
    let path = folder.path().join("p.toml");
    std::fs::write(&path, PIPELINE).expect("a writable file");
    let read = || load(&path, &Overrides::default(), &tells_nothing);
    let Err(problems) = read() else { panic!("it loads without weights") };
    let error = problems.to_string();
    assert!(error.contains("told.safetensors does not exist, which"), "{error}");
    std::fs::write(version.join("told.safetensors"), "content").expect("a writable file");
    let pipeline = read().unwrap_or_else(|problems| panic!("{problems}"));
    let weights = pipeline.steps[0].unit.model.weights.as_ref().expect("weights");
    assert_eq!(weights.file, "told.safetensors");
}
