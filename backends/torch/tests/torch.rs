//! Tests of the libtorch backend with any model: errors name the fault, types are converted, threads keep their
//! settings, memory is released.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

mod support;

use std::path::Path;

use lockstep_backend::{Backend, BackendError};
use lockstep_engine::infer::load_model::{Device, LoadModel, Optimize};
use lockstep_engine::infer::signature::Dim;
use lockstep_engine::tensor::{DType, Element, Tensor};
use lockstep_torch::TorchBackend;
use lockstep_torch::traced::Traced;
use support::{f32s, load, model};

/// A traced model, written to `folder` and described as the settings would.
fn written(traced: &Traced, folder: &Path) -> LoadModel {
    let file = traced.write(folder).expect("written");
    let manifest = traced.manifest().expect("a good model.toml");
    LoadModel {
        name: traced.name().to_owned(),
        file,
        sha256: None,
        signature: manifest.signature,
        ..model("faces", &[])
    }
}

fn refused(model: &LoadModel) -> String {
    match TorchBackend::new([model.device]).load(model) {
        Ok(_) => panic!("it loads"),
        Err(error) => {
            assert!(matches!(error, BackendError::Load { .. }), "{error:?}");
            error.to_string()
        }
    }
}

#[test]
fn traced_model_gives_the_same_after_saving_and_loading() {
    let folder = tempfile::tempdir().expect("a folder");
    let traced = Traced::new("double", &[2, 3], &|x| x.f_mul_scalar(2.0)).expect("traced");
    let mut double = load(&LoadModel { warm_up: vec![1, 2], ..written(&traced, folder.path()) });
    let input = f32s(&[3, 2, 3], (0..18).map(|value| value as f32).collect());
    let outputs = double.run(&mut [input]).expect("runs with another batch than it was traced with");
    assert_eq!(outputs, [f32s(&[3, 2, 3], (0..18).map(|value| 2.0 * value as f32).collect())]);
    assert_eq!(double.device(), "cpu");
}

#[test]
fn model_that_writes_into_its_input_spares_the_callers_tensor() {
    let folder = tempfile::tempdir().expect("a folder");
    let traced = Traced::new("writer", &[4], &|x| x.shallow_clone().f_mul_scalar_(3.0)).expect("traced");
    let mut writer = load(&written(&traced, folder.path()));
    let inputs = [f32s(&[1, 4], vec![1.0; 4])];
    for _ in 0..2 {
        assert_eq!(writer.run(&mut inputs.to_vec()).expect("runs"), [f32s(&[1, 4], vec![3.0; 4])]);
    }
    assert_eq!(inputs, [f32s(&[1, 4], vec![1.0; 4])]);
}

#[test]
fn outputs_keep_their_type_or_take_the_declared_one() {
    fn of<T: Element>(values: [T; 3]) -> Tensor {
        Tensor::new(vec![1, 3], &values).expect("three")
    }
    let folder = tempfile::tempdir().expect("a folder");
    let input = [f32s(&[1, 3], vec![0.0, 1.0, 2.5])];
    let truths = Tensor::from_bytes(DType::Bool, vec![1, 3], &[0, 1, 1]).expect("truth values");
    for (kind, expected) in [
        (tch::Kind::Float, of([0.0_f32, 1.0, 2.5])),
        (tch::Kind::Half, of([0.0, 1.0, 2.5].map(half::f16::from_f32))),
        (tch::Kind::BFloat16, of([0.0, 1.0, 2.5].map(half::bf16::from_f32))),
        (tch::Kind::Double, of([0.0_f64, 1.0, 2.5])),
        (tch::Kind::Int8, of([0_i8, 1, 2])),
        (tch::Kind::Uint8, of([0_u8, 1, 2])),
        (tch::Kind::Int16, of([0_i16, 1, 2])),
        (tch::Kind::Int, of([0_i32, 1, 2])),
        (tch::Kind::Int64, of([0_i64, 1, 2])),
        (tch::Kind::Bool, truths),
        // A wider type of the same kind may be declared, and f32 for an f64.
        (tch::Kind::Half, of([0.0_f32, 1.0, 2.5])),
        (tch::Kind::Double, of([0.0_f32, 1.0, 2.5])),
        (tch::Kind::Int, of([0_i64, 1, 2])),
        (tch::Kind::Bool, of([0_u8, 1, 1])),
    ] {
        let traced = Traced::new("convert", &[3], &|x| x.f_to_kind(kind)).expect("traced");
        let mut model = written(&traced, folder.path());
        model.signature.outputs[0].dtype = expected.dtype();
        let outputs = load(&model).run(&mut input.to_vec()).expect("runs");
        assert_eq!(outputs, [expected], "{kind:?}");
    }
    let traced = Traced::new("narrow", &[3], &|x| x.f_to_kind(tch::Kind::Int64)).expect("traced");
    let mut model = written(&traced, folder.path());
    model.signature.outputs[0].dtype = DType::I32;
    let refused = load(&model).run(&mut input.to_vec()).expect_err("an i64 may not fit an i32");
    assert!(refused.to_string().contains("i64 [1, 3], expected i32"), "{refused}");
}

#[test]
fn inputs_of_every_type_reach_the_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let traced = Traced::new("same", &[3], &|x| x.f_to_kind(tch::Kind::Float)).expect("traced");
    for dtype in DType::ALL {
        let mut model = written(&traced, folder.path());
        model.signature.inputs[0].dtype = dtype;
        let mut input = Tensor::zeros(dtype, &[2, 3]);
        for (place, element) in input.bytes_mut().chunks_exact_mut(dtype.size()).enumerate() {
            let value = (place % 2) as u8;
            let one: &[u8] = match dtype {
                DType::F32 => &1.0_f32.to_le_bytes(),
                DType::F16 => &half::f16::ONE.to_le_bytes(),
                DType::BF16 => &half::bf16::ONE.to_le_bytes(),
                DType::F64 => &1.0_f64.to_le_bytes(),
                DType::I8 | DType::U8 | DType::Bool => &[1],
                DType::I16 => &[1, 0],
                DType::I32 => &[1, 0, 0, 0],
                DType::I64 => &[1, 0, 0, 0, 0, 0, 0, 0],
            };
            if value == 1 {
                element.copy_from_slice(one);
            }
        }
        let outputs = load(&model).run(&mut [input]).expect("runs");
        assert_eq!(outputs, [f32s(&[2, 3], vec![0.0, 1.0, 0.0, 1.0, 0.0, 1.0])], "{dtype}");
    }
}

#[test]
fn non_contiguous_output_comes_out_in_row_major_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let traced = Traced::new("turned", &[2, 3], &|x| x.f_transpose(1, 2)).expect("traced");
    let input = [f32s(&[1, 2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])];
    let outputs = load(&written(&traced, folder.path())).run(&mut input.to_vec()).expect("runs");
    assert_eq!(outputs, [f32s(&[1, 3, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0])]);
}

#[test]
fn missing_or_invalid_model_file_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = LoadModel { file: folder.path().join("none.pt"), sha256: None, ..model("voice", &[]) };
    assert!(refused(&missing).contains("none.pt"), "{}", refused(&missing));
    std::fs::write(folder.path().join("garbled.pt"), b"PK\x03\x04 no archive").expect("written");
    let garbled = refused(&LoadModel { file: folder.path().join("garbled.pt"), ..missing });
    assert!(garbled.contains("garbled.pt is not a TorchScript file"), "{garbled}");
    assert!(garbled.starts_with("model voice/1: "), "{garbled}");
}

#[test]
fn warm_up_finds_errors_in_the_signature() {
    let good = LoadModel { warm_up: vec![1, 2], ..model("voice", &[("n", 2)]) };
    drop(load(&good));

    let mut narrow = good.clone();
    narrow.signature.outputs[1].shape[2] = Dim::Fixed(64);
    let error = refused(&narrow);
    assert!(error.contains("output state is f32 [2, 1, 128], expected f32 [2, batch=1, 64]"), "{error}");

    let mut few = good.clone();
    few.signature.outputs.pop();
    let error = refused(&few);
    assert!(error.contains("3 tensors, expected 2: speech_probability, state"), "{error}");

    let mut turned = good.clone();
    turned.signature.outputs[0].shape.swap(0, 1);
    let error = refused(&turned);
    assert!(
        error.contains("output speech_probability is f32 [1, 2], expected f32 [n=2, batch=1]"),
        "{error}"
    );

    let mut other = good.clone();
    other.signature.outputs[0].dtype = DType::I64;
    assert!(refused(&other).contains("expected i64"), "{}", refused(&other));

    // The model itself insists on whole chunks of 512 samples.
    let mut short = good.clone();
    short.signature.inputs[0].shape[1] = Dim::Fixed(500);
    let error = refused(&short);
    assert!(error.contains("audio must be whole chunks of 512 samples"), "{error}");

    let unknown = LoadModel { warm_up: vec![1], ..model("voice", &[]) };
    let error = refused(&unknown);
    assert!(error.contains("input audio is f32 [batch, 512*n]"), "{error}");
}

#[test]
fn batch_that_does_not_fit_fails_alone() {
    let model = model("voice", &[]);
    let mut voice = load(&model);
    let good = [
        Tensor::zeros(DType::F32, &[2, 512]),
        Tensor::zeros(DType::F32, &[2, 2, 128]),
        Tensor::zeros(DType::F32, &[2, 64]),
    ];
    let mut bad = good.clone();
    bad[1] = Tensor::zeros(DType::F32, &[2, 3, 128]);
    let error = voice.run(&mut bad.to_vec()).expect_err("another batch").to_string();
    assert_eq!(error, "model voice/1: input state is f32 [2, 3, 128], expected f32 [2, batch=2, 128]");
    assert!(voice.run(&mut bad[..2].to_vec()).is_err());
    assert_eq!(voice.run(&mut good.to_vec()).expect("runs").len(), 3);
}

#[test]
fn missing_gpu_is_reported_and_auto_uses_the_cpu() {
    if TorchBackend::new([Device::Auto]).devices().len() > 1 {
        return; // There is one.
    }
    let error = refused(&LoadModel { device: Device::Cuda(0), ..model("voice", &[]) });
    assert!(error.contains("cuda:0") && error.contains("libtorch_cuda.so"), "{error}");
    let auto = load(&LoadModel { device: Device::Auto, ..model("voice", &[]) });
    assert_eq!(auto.device(), "cpu");
}

#[test]
fn threads_keep_their_own_thread_counts() {
    let barrier = std::sync::Barrier::new(2);
    let counted = |threads: usize| {
        let loaded = load(&LoadModel { threads, ..model("voice", &[]) });
        barrier.wait();
        let count = tch::get_num_threads();
        drop(loaded);
        count
    };
    std::thread::scope(|scope| {
        let one = scope.spawn(|| counted(1));
        let two = scope.spawn(|| counted(2));
        assert_eq!((one.join().expect("one"), two.join().expect("two")), (1, 2));
    });
    assert!(refused(&LoadModel { threads: 0, ..model("voice", &[]) }).contains("from 1 to 1024"));
}

/// tch keeps the arguments of a call that fails for ever; see `Staged`.
#[cfg(target_os = "linux")]
#[test]
fn failed_batches_release_their_memory() {
    let mut model = model("voice", &[]);
    model.signature.inputs[0].shape[1] = Dim::Named("any".into());
    let mut voice = load(&model);
    let inputs = [
        Tensor::zeros(DType::F32, &[1, 4_000_001]),
        Tensor::zeros(DType::F32, &[2, 1, 128]),
        Tensor::zeros(DType::F32, &[1, 64]),
    ];
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("statm");
        pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
    };
    for _ in 0..3 {
        assert!(voice.run(&mut inputs.to_vec()).is_err(), "no whole number of chunks");
    }
    let before = resident();
    for _ in 0..30 {
        assert!(voice.run(&mut inputs.to_vec()).is_err(), "no whole number of chunks");
    }
    // 30 batches of 16 MB are 480 MB.
    assert!(resident() < before + 160_000_000, "{} bytes more", resident() - before);
}

#[test]
fn optimised_form_is_refused_where_it_cannot_be_compared() {
    let fused = |model: LoadModel| refused(&LoadModel { optimize: Optimize::Fused, ..model });
    let no_batch = fused(LoadModel { warm_up: Vec::new(), ..model("voice", &[("n", 2)]) });
    assert!(no_batch.contains("warm_up names none; write optimize = \"none\""), "{no_batch}");
    let unknown = fused(LoadModel { warm_up: vec![1], ..model("voice", &[]) });
    assert!(unknown.contains("a named extent is unknown"), "{unknown}");
    let compared = load(&LoadModel {
        optimize: Optimize::ChannelsLast,
        warm_up: vec![1, 2],
        ..model("voice", &[("n", 2)])
    });
    assert_eq!(compared.device(), "cpu");
}
