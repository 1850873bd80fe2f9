//! A graph of ONNX that runs for ever, and its end from another thread.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use lockstep_backend::Backend;
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::load_model::{Device, GpuProvider, LoadModel};
use lockstep_engine::tensor::{DType, Tensor};
use lockstep_onnx::OnnxBackend;

/// Ends the test if the interrupt does not end the run.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn run_that_never_ends_is_ended_by_the_interrupt() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hanging/hanging.onnx");
    let (send, reports) = mpsc::sync_channel(1);
    let (send_interrupt, interrupts) = mpsc::sync_channel(1);
    // A model stays on its thread, which a test that fails leaves behind.
    std::thread::spawn(move || {
        let signature = OnnxBackend.describe(&file).expect("an ONNX file");
        let model = LoadModel {
            name: "hanging".to_owned(),
            version: "1".to_owned(),
            file,
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
        let mut model = OnnxBackend.load(&model).expect("a batch of zeros ends");
        send_interrupt.send(model.interrupt().expect("ONNX Runtime can")).expect("the test waits");
        let batch = Tensor::from_bytes(DType::U8, vec![1, 4], &[0, 0, 1, 0]).expect("four bytes");
        send.send(model.run(&mut [batch]).map(drop)).expect("the test waits");
    });
    let interrupt = interrupts.recv_timeout(PATIENCE).expect("loaded");
    let early = reports.recv_timeout(Duration::from_millis(300));
    assert!(early.is_err(), "the run does not hang: {early:?}");
    interrupt.interrupt();
    let error = reports.recv_timeout(PATIENCE).expect("the run ends").expect_err("it was interrupted");
    assert!(error.to_string().contains("terminate"), "{error}");
}
