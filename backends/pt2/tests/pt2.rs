//! Promises of the backend for `.pt2` packages, with the repository's model.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

use std::path::{Path, PathBuf};

use lockstep_backend::{Backend, BackendError, Model};
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::infer::manifest::Manifest;
use lockstep_engine::tensor::{DType, Tensor};
use lockstep_pt2::Pt2Backend;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/voice-pt2/1")
}

fn voice() -> LoadModel {
    let text = std::fs::read_to_string(folder().join("model.toml")).expect("model.toml");
    let manifest = Manifest::parse(&text).expect("a good model.toml");
    let mut extents = Extents::default();
    extents.set("n", 2);
    // Tests change the file.
    LoadModel { sha256: None, warm_up: vec![1, 3], extents, ..manifest.model(&folder(), "voice-pt2", "1") }
}

fn load(model: &LoadModel) -> Box<dyn Model> {
    Pt2Backend.load(model).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(model: &LoadModel) -> String {
    match Pt2Backend.load(model) {
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
fn package_runs_any_batch_and_length() {
    let mut model = load(&voice());
    for (batch, chunks) in [(1, 1), (3, 2), (8, 5)] {
        let outputs = model.run(&mut zeros(batch, chunks)).expect("runs");
        assert_eq!(outputs[0].shape(), [batch, chunks]);
    }
}

#[test]
fn inputs_are_checked_before_the_package_sees_them() {
    let mut model = load(&voice());
    let mut wrong = [zeros(2, 1), zeros(2, 1), zeros(2, 1)];
    wrong[0][1] = Tensor::zeros(DType::F32, &[2, 3, 128]);
    wrong[1][0] = Tensor::zeros(DType::F64, &[2, 512]);
    wrong[2][0] = Tensor::zeros(DType::F32, &[2, 700]);
    for mut inputs in wrong {
        let error = model.run(&mut inputs).expect_err("it does not fit");
        assert!(
            matches!(&error, BackendError::Run { .. }) && error.to_string().contains("input "),
            "{error}"
        );
    }
    assert_eq!(model.run(&mut zeros(2, 3)).expect("runs after errors")[0].shape(), [2, 3]);
}

#[test]
fn broken_or_missing_package_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cut.pt2");
    let whole = std::fs::read(voice().file).expect("the model");
    for content in [&whole[..whole.len() / 2], b"no archive"] {
        std::fs::write(&file, content).expect("written");
        let error = refused(&LoadModel { file: file.clone(), ..voice() });
        assert!(error.contains("cut.pt2 is not a .pt2 package that loads: "), "{error}");
    }
    let error = refused(&LoadModel { file: folder.path().join("none.pt2"), ..voice() });
    assert!(error.contains("there is no file") && error.contains("none.pt2"), "{error}");
    // A TorchScript file is an archive too.
    let script = folder.path().join("script.pt2");
    let torchscript = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/voice/1/model.pt");
    std::fs::copy(torchscript, &script).expect("copied");
    assert!(refused(&LoadModel { file: script, ..voice() }).contains("is not a .pt2 package that loads"));
}

#[test]
fn model_toml_with_other_outputs_is_refused_at_load() {
    let mut model = voice();
    model.signature.outputs.pop();
    model.signature.state.pop();
    let error = refused(&model);
    assert!(error.contains("it returned 3 tensors; model.toml names 2"), "{error}");
    let mut model = voice();
    model.signature.outputs[0].dtype = DType::I64;
    assert!(refused(&model).contains("expected i64"), "{}", refused(&model));
}

/// Machine code runs on one kind of processor only, so that the repository has none.
#[test]
#[ignore = "set LOCKSTEP_COMPILED_VOICE to `voice`, compiled by AOTInductor on this machine"]
fn compiled_package_gives_what_the_portable_one_gives() {
    let file = PathBuf::from(std::env::var_os("LOCKSTEP_COMPILED_VOICE").expect("the path of a package"));
    let (mut compiled, mut portable) = (load(&LoadModel { file, ..voice() }), load(&voice()));
    for (batch, chunks) in [(1, 1), (3, 2), (8, 5)] {
        let mut inputs = zeros(batch, chunks);
        let audio = inputs[0].elements_mut::<f32>().expect("f32");
        for (place, value) in audio.iter_mut().enumerate() {
            *value = ((place * place) as f32 * 1e-4).sin() * 0.3;
        }
        let found = compiled.run(&mut inputs.clone()).expect("runs");
        let expected = portable.run(&mut inputs).expect("runs");
        for (found, expected) in found.iter().zip(&expected) {
            let pairs =
                found.elements::<f32>().expect("f32").iter().zip(expected.elements::<f32>().expect("f32"));
            let furthest = pairs.map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
            assert!(found.shape() == expected.shape() && furthest < 1e-4, "{furthest}");
        }
    }
}
