//! Tests that the benchmarks' models work like any other, and that the bare loop runs them.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

use std::path::Path;
use std::time::Duration;

use lockstep_backend::{Backend, zeros};
use lockstep_bench::bare::baseline::{BaselineLoop, Until};
use lockstep_bench::bare::networks::{conv_stack, resnet50};
use lockstep_bench::bare::onnx::batches_per_second;
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::load_model::{Device, GpuProvider, LoadModel};
use lockstep_engine::infer::manifest::Manifest;
use lockstep_engine::tensor::{DType, Tensor};
use lockstep_torch::TorchBackend;
use lockstep_torch::traced::Traced;

fn runs(traced: &Traced, expected: &[usize]) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = traced.write(folder.path()).expect("written");
    let signature = traced.manifest().expect("a good model.toml").signature;
    let model = LoadModel {
        name: "traced".to_owned(),
        version: "1".to_owned(),
        file: file.clone(),
        sha256: None,
        weights: None,
        signature,
        device: Device::Cpu,
        provider: GpuProvider::default(),
        threads: 1,
        warm_up: vec![1],
        optimize: Default::default(),
        extents: Extents::default(),
    };
    let batch = Tensor::zeros(DType::F32, &[&[3], traced.row()].concat());
    let outputs = TorchBackend::new([model.device])
        .load(&model)
        .expect("loads")
        .run(&mut [batch.clone()])
        .expect("runs");
    assert_eq!(outputs[0].shape(), expected);

    let spec = BaselineLoop {
        file,
        device: Device::Cpu,
        threads: 1,
        warm_up: 1,
        until: Until::Batches(2),
        ahead: false,
    };
    let backend = TorchBackend::new([Device::Cpu]);
    let bare = spec.run(&backend, &[batch]).expect("runs");
    assert_eq!(bare.batches, 2);
    assert!(0.0 < bare.p50 && bare.p50 <= bare.p99 && bare.p99 <= bare.seconds, "{bare:?}");
}

#[test]
fn conv_stack_works_like_any_model() {
    runs(&conv_stack(3, 8, 12).expect("traced"), &[3, 8]);
}

#[test]
fn resnet50_works_like_any_model() {
    runs(&resnet50().expect("traced"), &[3, 1000]);
}

#[test]
fn baseline_loop_ends_on_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let traced = conv_stack(1, 4, 4).expect("traced");
    let spec = BaselineLoop {
        file: traced.write(folder.path()).expect("written"),
        device: Device::Auto,
        threads: 1,
        warm_up: 0,
        until: Until::Elapsed(Duration::from_millis(20)),
        ahead: true,
    };
    let batch = Tensor::zeros(DType::F32, &[1, 3, 4, 4]);
    let bare = spec.run(&TorchBackend::new([Device::Auto]), &[batch]).expect("runs");
    assert!(bare.batches > 0 && bare.seconds >= 0.02, "{bare:?}");
}

#[test]
fn bare_loop_of_onnx_runs_a_shipped_model() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/voice-onnx/1");
    let text = std::fs::read_to_string(folder.join("model.toml")).expect("model.toml");
    let manifest = Manifest::parse(&text).expect("a good model.toml");
    let mut extents = Extents::default();
    extents.set("n", 1);
    let model = LoadModel { extents, ..manifest.model(&folder, "voice-onnx", "1") };
    let batch = zeros(&model, 2).expect("every extent is known");
    let rate = batches_per_second(&model, &batch, Duration::from_millis(20)).expect("runs");
    assert!(rate > 0.0);
    let error = batches_per_second(&model, &batch[..1], Duration::ZERO).expect_err("two inputs are missing");
    assert!(error.to_lowercase().contains("input"), "{error}");
}
