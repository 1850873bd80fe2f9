//! Tests of TorchScript models whose weights lie in safetensors files, against the same model in one file, and against its
//! outputs in Python.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

mod support;

use std::path::{Path, PathBuf};

use lockstep_backend::Backend;
use lockstep_engine::infer::load_model::{Device, LoadModel};
use lockstep_engine::infer::manifest::Manifest;
use lockstep_engine::tensor::Tensor;
use lockstep_torch::TorchBackend;
use lockstep_torch::traced::Traced;
use support::{f32s, load};

const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
const INDEX: &str = "model.safetensors.index.json";

/// The files that `sharded/make.py` has made.
fn sharded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sharded")
}

/// A copy of them, to change.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in SHARDS.iter().chain(&[INDEX, "model.pt"]) {
        std::fs::copy(sharded().join(name), folder.path().join(name)).expect("copied");
    }
    folder
}

/// The model of a file, with the weights that `keys` name.
fn model(folder: &Path, file: &str, keys: &str) -> LoadModel {
    let text = format!(
        "backend = \"libtorch\"\nfile = \"{file}\"\n{keys}\n[[inputs]]\nname = \"x\"\ndtype = \"f32\"\nshape = [\"batch\", 6]\n\
         [[outputs]]\nname = \"y\"\ndtype = \"f32\"\nshape = [\"batch\", 8]\n"
    );
    let manifest = Manifest::parse(&text).expect("a good model.toml");
    LoadModel { warm_up: vec![1], ..manifest.model(folder, "sharded", "1") }
}

fn by_index(folder: &Path) -> LoadModel {
    model(folder, "model.pt", &format!("[weights]\nfile = \"{INDEX}\""))
}

fn refused(model: &LoadModel) -> String {
    match TorchBackend::new([model.device]).load(model) {
        Ok(_) => panic!("it loads"),
        Err(error) => error.to_string(),
    }
}

/// Rows and outputs of the golden file.
fn golden() -> [Tensor; 2] {
    let text = std::fs::read_to_string(sharded().join("golden.json")).expect("golden.json");
    let golden: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    [("input", 6), ("output", 8)].map(|(name, width)| {
        let rows: Vec<Vec<f32>> = serde_json::from_value(golden[name].clone()).expect("rows");
        f32s(&[rows.len(), width], rows.concat())
    })
}

/// Writes a file of weights anew, with other bytes for `from`; both are of one length.
fn replace(folder: &Path, name: &str, from: &str, to: &str) {
    let file = folder.join(name);
    let mut bytes = std::fs::read(&file).expect("readable");
    let place = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect(from);
    bytes.splice(place..place + from.len(), to.bytes());
    std::fs::write(file, bytes).expect("written");
}

#[test]
fn sharded_model_gives_exactly_what_the_whole_one_gives() {
    let [input, expected] = golden();
    let mut whole = load(&model(&sharded(), "whole.pt", ""));
    let wanted = whole.run(&mut [input.clone()]).expect("runs");
    let (found, golden) = (wanted[0].elements::<f32>(), expected.elements::<f32>());
    for (found, golden) in found.expect("f32").iter().zip(golden.expect("f32")) {
        assert!((found - golden).abs() <= 1e-3, "{found} against {golden} in Python");
    }
    // Two instances over the same files, one after the other and both at once.
    let mut one = load(&by_index(&sharded()));
    let mut two = load(&by_index(&sharded()));
    assert_eq!(one.run(&mut [input.clone()]).expect("runs"), wanted);
    drop(one);
    assert_eq!(two.run(&mut [input]).expect("runs"), wanted);
}

/// Writes all tensors into one file. Its header has an odd length, so that the data of no wide type is aligned.
fn write_one_shard(folder: &Path) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for name in SHARDS {
        let bytes = std::fs::read(sharded().join(name)).expect("readable");
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
        let own: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
        for (tensor, entry) in own.as_object().expect("an object") {
            let mut entry = entry.clone();
            for offset in entry["data_offsets"].as_array_mut().expect("two offsets") {
                *offset = (offset.as_u64().expect("a number") + data.len() as u64).into();
            }
            header.insert(tensor.clone(), entry);
        }
        data.extend(&bytes[8 + length..]);
    }
    let mut json = serde_json::Value::from(header).to_string();
    if json.len().is_multiple_of(2) {
        json.push(' ');
    }
    let file = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &data].concat();
    std::fs::write(folder.join("model.safetensors"), file).expect("written");
}

#[test]
fn unaligned_weights_in_one_file_give_the_same() {
    let folder = copy();
    write_one_shard(folder.path());
    let [input, _] = golden();
    let mut one = load(&model(folder.path(), "model.pt", "[weights]\nfile = \"model.safetensors\""));
    let mut two = load(&by_index(&sharded()));
    let wanted = two.run(&mut [input.clone()]).expect("runs");
    assert_eq!(one.run(&mut [input]).expect("runs"), wanted);
    // One shard of two, alone.
    let error = refused(&model(&sharded(), "model.pt", &format!("[weights]\nfile = \"{}\"", SHARDS[0])));
    assert!(error.contains("norm.running_var: is missing; the model takes f32 [8]"), "{error}");
}

#[test]
fn every_fault_of_the_weights_is_named_at_once() {
    let folder = copy();
    let folder = folder.path();
    // In the first shard another shape and another name; in the second another type, and the last byte is missing.
    replace(
        folder,
        SHARDS[0],
        r#""parts.1.weight":{"dtype":"F32","shape":[2,1,3]"#,
        r#""parts.1.weight":{"dtype":"F32","shape":[3,1,2]"#,
    );
    replace(folder, SHARDS[0], r#""norm.bias""#, r#""norm.bios""#);
    replace(folder, SHARDS[1], r#""i8":{"dtype":"I8""#, r#""i8":{"dtype":"U8""#);
    let shard = folder.join(SHARDS[1]);
    let bytes = std::fs::read(&shard).expect("readable");
    std::fs::write(&shard, &bytes[..bytes.len() - 1]).expect("written");
    let error = refused(&by_index(folder));
    for fault in [
        "model sharded/1: ",
        "norm.bias: is missing in model-00001-of-00002.safetensors",
        "norm.bios: is in model-00001-of-00002.safetensors, and the index does not name it",
        "parts.1.weight: is f32 [3, 1, 2] in model-00001-of-00002.safetensors, and f32 [2, 1, 3] in the model",
        "i8: is u8 [8] in model-00002-of-00002.safetensors, and i8 [8] in the model",
        "model-00002-of-00002.safetensors: mask: ends at byte ",
    ] {
        assert!(error.contains(fault), "{fault}: {error}");
    }
    assert_eq!(error.matches("mask").count(), 1, "{error}");
}

#[test]
fn buffers_without_weights_are_named() {
    // The shards lack the running mean.
    let folder = copy();
    for name in [INDEX, SHARDS[1]] {
        replace(folder.path(), name, "norm.running_mean", "norm.running_moan");
    }
    let error = refused(&by_index(folder.path()));
    assert!(error.contains("norm.running_mean: is missing; the model takes f32 [8]"), "{error}");
    // The skeleton does not list its buffers.
    let traced = Traced::new("bare", &[6], &|x| x.f_repeat([1, 2])?.f_narrow(1, 0, 8)).expect("traced");
    let file = traced.write(folder.path()).expect("written");
    std::fs::copy(file, folder.path().join("model.pt")).expect("copied");
    let error = refused(&by_index(folder.path()));
    assert!(
        error.contains("norm.running_var: is in model-00002-of-00002.safetensors, and the model has no"),
        "{error}"
    );
    assert!(error.contains("has no method lockstep_buffers"), "{error}");
}

#[test]
fn skeleton_without_weights_is_refused() {
    let error = refused(&model(&sharded(), "model.pt", ""));
    assert!(error.contains("is a skeleton without weights"), "{error}");
}

#[test]
fn digests_of_weights_are_verified_before_the_load() {
    let digest = |name: &str| {
        let digest = lockstep_backend::digest_of(&sharded().join(name)).expect("readable");
        format!("\"{name}\" = \"{digest}\"\n")
    };
    let keys = |folder: &Path| {
        let digests: String = SHARDS.iter().chain(&[INDEX]).map(|name| digest(name)).collect();
        model(folder, "model.pt", &format!("[weights]\nfile = \"{INDEX}\"\n[weights.sha256]\n{digests}"))
    };
    drop(load(&keys(&sharded())));
    let folder = copy();
    replace(folder.path(), SHARDS[1], "norm.running_mean", "norm.running_moan");
    let error = refused(&keys(folder.path()));
    assert!(error.contains("model-00002-of-00002.safetensors: its SHA-256 digest is "), "{error}");
}

#[test]
fn truth_value_beside_0_and_1_is_refused() {
    let folder = copy();
    let file = folder.path().join(SHARDS[1]);
    let mut bytes = std::fs::read(&file).expect("readable");
    // The mask is the last tensor.
    *bytes.last_mut().expect("a byte") = 2;
    std::fs::write(file, bytes).expect("written");
    let error = refused(&by_index(folder.path()));
    assert!(error.contains("mask: has truth values beside 0 and 1"), "{error}");
}

#[test]
fn model_that_writes_its_weights_changes_no_other() {
    let before = SHARDS.map(|name| std::fs::read(sharded().join(name)).expect("readable"));
    let [input, _] = golden();
    let mut one = load(&by_index(&sharded()));
    // The model adds the number of its calls.
    let counts: Vec<f32> = (0..3)
        .map(|_| one.run(&mut [input.clone()]).expect("runs")[0].elements::<f32>().expect("f32")[0])
        .collect();
    assert!(((counts[2] - counts[0]) - 2.0).abs() < 1e-3, "{counts:?}");
    let mut two = load(&LoadModel { device: Device::Auto, ..by_index(&sharded()) });
    let first = two.run(&mut [input]).expect("runs");
    assert_eq!(first[0].elements::<f32>().expect("f32")[0].to_bits(), counts[0].to_bits());
    assert_eq!(SHARDS.map(|name| std::fs::read(sharded().join(name)).expect("readable")), before);
}
