//! Promises of the ONNX backend, with the repository's model.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

use std::path::{Path, PathBuf};

use lockstep_backend::{Backend, BackendError, Model};
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::load_model::{Device, GpuProvider, LoadModel};
use lockstep_engine::infer::manifest::Manifest;
use lockstep_engine::infer::signature::Dim;
use lockstep_engine::tensor::{DType, Tensor};
use lockstep_onnx::OnnxBackend;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/voice-onnx/1")
}

fn voice() -> LoadModel {
    let text = std::fs::read_to_string(folder().join("model.toml")).expect("model.toml");
    let manifest = Manifest::parse(&text).expect("a good model.toml");
    let mut extents = Extents::default();
    extents.set("n", 2);
    // Tests change the file.
    LoadModel { sha256: None, warm_up: vec![1, 3], extents, ..manifest.model(&folder(), "voice-onnx", "1") }
}

fn load(model: &LoadModel) -> Box<dyn Model> {
    OnnxBackend.load(model).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(model: &LoadModel) -> String {
    match OnnxBackend.load(model) {
        Ok(_) => panic!("it loads"),
        Err(error) => error.to_string(),
    }
}

fn zeros(batch: usize, chunks: usize) -> Vec<Tensor> {
    vec![
        Tensor::zeros(DType::F32, &[batch, 512 * chunks]),
        Tensor::zeros(DType::F32, &[2, batch, 128]),
        Tensor::zeros(DType::F32, &[batch, 64]),
    ]
}

#[test]
fn file_tells_its_signature() {
    let told = OnnxBackend.describe(&folder().join("model.onnx")).expect("an ONNX file");
    let shown: Vec<String> =
        told.inputs.iter().chain(&told.outputs).map(|spec| format!("{} {spec}", spec.name)).collect();
    assert_eq!(
        shown,
        [
            "audio f32 [batch, samples]",
            "state f32 [2, batch, 128]",
            "context f32 [batch, 64]",
            "speech_probability f32 [batch, n]",
            "next_state f32 [2, batch, 128]",
            "next_context f32 [batch, 64]",
        ]
    );
}

#[test]
fn model_toml_that_contradicts_the_file_is_refused() {
    type Change = fn(&mut LoadModel);
    let cases: [(Change, &str); 5] = [
        (
            |model| model.signature.inputs[0].dtype = DType::F16,
            "input audio is f32 [batch, samples] in the file",
        ),
        (|model| model.signature.inputs[1].shape[2] = Dim::Fixed(64), "and f32 [2, batch, 64] in model.toml"),
        (
            |model| model.signature.inputs[2].name = "before".into(),
            "which the file does not have; its inputs are audio,",
        ),
        (|model| drop(model.signature.inputs.pop()), "the file takes input context as f32 [batch, 64]"),
        (|model| model.file = "/nowhere/model.onnx".into(), "there is no file /nowhere/model.onnx"),
    ];
    for (change, says) in cases {
        let mut model = voice();
        change(&mut model);
        let error = refused(&model);
        assert!(error.starts_with("model voice-onnx/1: ") && error.contains(says), "{error}");
    }
}

#[test]
fn broken_file_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cut.onnx");
    let whole = std::fs::read(voice().file).expect("the model");
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("written");
    let error = refused(&LoadModel { file: file.clone(), ..voice() });
    assert!(error.contains("cut.onnx is not an ONNX file that loads: "), "{error}");
    std::fs::write(&file, b"PK\x03\x04 no graph").expect("written");
    assert!(refused(&LoadModel { file, ..voice() }).contains("is not an ONNX file that loads"));
}

#[test]
fn batch_that_does_not_fit_fails_alone() {
    let mut model = load(&voice());
    let mut wrong = zeros(2, 1);
    wrong[1] = Tensor::zeros(DType::F32, &[2, 3, 128]);
    let error = model.run(&mut wrong).expect_err("a state of three streams");
    assert!(
        matches!(&error, BackendError::Run { .. }) && error.to_string().contains("input state"),
        "{error}"
    );
    let outputs = model.run(&mut zeros(2, 3)).expect("runs after an error");
    assert_eq!(outputs[0].shape(), [2, 3]);
}

#[test]
fn device_that_the_library_lacks_is_refused() {
    for provider in [GpuProvider::Cuda, GpuProvider::TensorRt] {
        let error = refused(&LoadModel { device: Device::Cuda(0), provider, ..voice() });
        let says = "model voice-onnx/1: the device is cuda:0, but this ONNX Runtime runs models on the cpu only; set LOCKSTEP_ONNXRUNTIME";
        assert!(error.starts_with(says) && error.ends_with("or write device = \"cpu\""), "{error}");
    }
}

#[test]
fn auto_is_the_cpu_if_the_library_has_no_gpu() {
    assert_eq!(OnnxBackend.devices(), ["cpu"]);
    let model = load(&LoadModel { device: Device::Auto, provider: GpuProvider::TensorRt, ..voice() });
    assert_eq!(model.device(), "cpu");
}

#[test]
fn interrupted_run_ends_with_an_error() {
    let mut model = load(&voice());
    model.interrupt().expect("ONNX Runtime can").interrupt();
    let error = model.run(&mut zeros(1, 1)).expect_err("it was interrupted");
    assert!(error.to_string().contains("terminate"), "{error}");
}

#[test]
fn file_that_cannot_be_read_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("model.onnx");
    let whole = std::fs::read(voice().file).expect("the model");
    let cases: [(&[u8], &str); 3] = [
        (b"", "it is empty; fetch it again"),
        (&whole[..whole.len() / 2], "the file is cut, fetch it again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "fetch the file again"),
    ];
    for (content, says) in cases {
        std::fs::write(&file, content).expect("written");
        let error = OnnxBackend.describe(&file).expect_err("no ONNX file");
        assert!(error.contains("model.onnx is not an ONNX file that loads: "), "{error}");
        assert!(error.ends_with(says), "{error}");
    }
}

/// The file asks for a constant of 4 TiB, which the runtime would compute before the first run.
#[test]
fn describe_computes_no_constants() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faulty/huge_constant.onnx");
    let told = OnnxBackend.describe(&file).expect("an ONNX file");
    assert_eq!(told.inputs[0].to_string(), "f32 [batch, 4]");
}
