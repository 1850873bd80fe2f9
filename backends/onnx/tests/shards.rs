//! Tests of ONNX models whose weights lie in safetensors files, against the same model in one file, and against its outputs in
//! Python.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

use std::path::{Path, PathBuf};

use lockstep_backend::{Backend, Model};
use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::infer::manifest::Manifest;
use lockstep_engine::tensor::Tensor;
use lockstep_onnx::OnnxBackend;

const SHARDS: [&str; 3] = [
    "model-00001-of-00003.safetensors",
    "model-00002-of-00003.safetensors",
    "model-00003-of-00003.safetensors",
];
const INDEX: &str = "model.safetensors.index.json";

/// The files that `sharded/make.py` has made.
fn sharded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sharded")
}

/// A copy of them, to change.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in SHARDS.iter().chain(&[INDEX, "model.onnx"]) {
        std::fs::copy(sharded().join(name), folder.path().join(name)).expect("copied");
    }
    folder
}

fn model(folder: &Path, file: &str, keys: &str) -> LoadModel {
    let text = format!(
        "backend = \"onnxruntime\"\nfile = \"{file}\"\n{keys}\n[[inputs]]\nname = \"x\"\ndtype = \"f32\"\nshape = [\"batch\", 16]\n\
         [[outputs]]\nname = \"y\"\ndtype = \"f32\"\nshape = [\"batch\", 24]\n"
    );
    let manifest = Manifest::parse(&text).expect("a good model.toml");
    LoadModel { warm_up: vec![1], ..manifest.model(folder, "sharded", "1") }
}

fn by_index(folder: &Path, more: &str) -> LoadModel {
    model(folder, "model.onnx", &format!("[weights]\nfile = \"{INDEX}\"\n{more}"))
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

/// Rows and outputs of the golden file.
fn golden() -> [Tensor; 2] {
    let text = std::fs::read_to_string(sharded().join("golden.json")).expect("golden.json");
    let golden: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    [("input", 16), ("output", 24)].map(|(name, width)| {
        let rows: Vec<Vec<f32>> = serde_json::from_value(golden[name].clone()).expect("rows");
        Tensor::new(vec![rows.len(), width], &rows.concat()).expect("rows of one width")
    })
}

#[track_caller]
fn close(found: &Tensor, expected: &Tensor) {
    assert_eq!(found.shape(), expected.shape());
    let (found, expected) = (found.elements::<f32>().expect("f32"), expected.elements::<f32>().expect("f32"));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{found} against {expected}");
    }
}

/// Writes other bytes for all of `from`; both are of one length.
fn replace(folder: &Path, name: &str, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let file = folder.join(name);
    let mut bytes = std::fs::read(&file).expect("readable");
    let places: Vec<usize> =
        (0..bytes.len()).filter(|place| bytes[*place..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty(), "{from}");
    for place in places {
        bytes.splice(place..place + from.len(), to.bytes());
    }
    std::fs::write(file, bytes).expect("written");
}

#[test]
fn sharded_model_gives_what_the_whole_one_gives() {
    let [input, expected] = golden();
    for model in [
        model(&sharded(), "whole.onnx", ""),
        by_index(&sharded(), ""),
        by_index(&sharded(), "prepack = true"),
        // External data without [weights].
        model(&sharded(), "model.onnx", ""),
    ] {
        let outputs = load(&model).run(&mut [input.clone()]).expect("runs");
        close(&outputs[0], &expected);
    }
}

#[test]
fn place_outside_of_the_weights_is_refused() {
    let folder = copy();
    replace(folder.path(), "model.onnx", SHARDS[0], "../el-00001-of-00003.safetensors");
    replace(folder.path(), "model.onnx", "3072", "3068");
    let error = refused(&by_index(folder.path(), ""));
    for fault in [
        "model.onnx is not an ONNX file that loads: the weights have faults: ",
        "of ../el-00001-of-00003.safetensors, which are no tensor of the weights",
        "second: is f32 [32, 24] in 3068 bytes from byte ",
    ] {
        assert!(error.contains(fault), "{fault}: {error}");
    }
    let error = refused(&model(folder.path(), "model.onnx", ""));
    assert!(
        error.contains("first: its data is in \"../el-00001-of-00003.safetensors\", which is no file in"),
        "{error}"
    );
}

#[test]
fn weights_of_another_type_or_shape_are_named() {
    let folder = copy();
    replace(
        folder.path(),
        SHARDS[2],
        r#""shape":[24,24],"data_offsets":[0,2304]"#,
        r#""shape":[12,48],"data_offsets":[0,2304]"#,
    );
    replace(folder.path(), SHARDS[2], r#""dtype":"F16""#, r#""dtype":"I16""#);
    let error = refused(&by_index(folder.path(), ""));
    assert!(
        error.contains("inner: is f32 [24, 24], and f32 [12, 48] in model-00003-of-00003.safetensors"),
        "{error}"
    );
    assert!(
        error.contains("half: is f16 [24, 24], and i16 [24, 24] in model-00003-of-00003.safetensors"),
        "{error}"
    );
}

#[test]
fn shard_that_is_missing_or_cut_is_named_once() {
    let folder = copy();
    std::fs::remove_file(folder.path().join(SHARDS[0])).expect("removed");
    let cut = std::fs::read(folder.path().join(SHARDS[1])).expect("readable");
    std::fs::write(folder.path().join(SHARDS[1]), &cut[..cut.len() - 4]).expect("written");
    let error = refused(&by_index(folder.path(), ""));
    assert!(error.contains("model-00001-of-00003.safetensors: the file is missing"), "{error}");
    assert!(error.contains("model-00002-of-00003.safetensors: second: ends at byte "), "{error}");
    assert!(!error.contains("no tensor of the weights"), "{error}");
    let error = refused(&model(folder.path(), "model.onnx", ""));
    assert!(
        error.contains("first: its data is in model-00001-of-00003.safetensors, a file that is missing"),
        "{error}"
    );
    assert!(
        error.contains("second: its data ends behind the end of model-00002-of-00003.safetensors"),
        "{error}"
    );
}

#[test]
fn weights_that_the_file_does_not_use_at_all_are_refused() {
    let error = refused(&model(&sharded(), "whole.onnx", &format!("[weights]\nfile = \"{INDEX}\"")));
    assert!(error.contains("the file has no external data, and its model.toml names weights"), "{error}");
}

#[test]
fn footprint_counts_external_data_once_with_and_without_weights() {
    let folder = copy();
    let bytes = |name: &str| std::fs::metadata(folder.path().join(name)).expect("a file").len();
    let all = bytes("model.onnx") + SHARDS.iter().map(|name| bytes(name)).sum::<u64>();
    let whole = model(folder.path(), "model.onnx", "");
    assert_eq!(OnnxBackend.footprint(&whole), all);
    assert_eq!(OnnxBackend.footprint(&by_index(folder.path(), "")), all);
    std::fs::remove_file(folder.path().join(SHARDS[0])).expect("removed");
    assert!(OnnxBackend.footprint(&whole) < all, "a file that is missing counts for none");
}
