//! Compares the models of `lockstep demo scene` with golden files made in PyTorch (`models/export/golden_scene.py`).
//! `make setup-scene` fetches their weights. Without them, a test says so and passes.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

use std::path::{Path, PathBuf};

use lockstep_backend::Backend;
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::infer::manifest::Manifest;
use lockstep_engine::tensor::Tensor;
use lockstep_onnx::OnnxBackend;
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name)
}

fn golden(name: &str) -> Value {
    let text = std::fs::read_to_string(folder(name).join("golden.json")).expect("a golden file");
    serde_json::from_str(&text).expect("JSON")
}

/// Runs a model on a batch; `None` if its weights are not here.
fn run(name: &str, extents: &[(&str, usize)], mut inputs: Vec<Tensor>) -> Option<Vec<Tensor>> {
    let folder = folder(name).join("1");
    // This one has its weights in the graph.
    if name != "talk-fits-picture" && !folder.join("model.safetensors").exists() {
        println!("skipped: {name} has no weights here; `make setup-scene` fetches them");
        return None;
    }
    let text = std::fs::read_to_string(folder.join("model.toml")).expect("model.toml");
    let manifest = Manifest::parse(&text).expect("a good model.toml");
    let mut known = Extents::default();
    for (name, extent) in extents {
        known.set(name, *extent);
    }
    let model = LoadModel { extents: known, ..manifest.model(&folder, name, "1") };
    let mut model = OnnxBackend.load(&model).unwrap_or_else(|error| panic!("{error}"));
    Some(model.run(&mut inputs).unwrap_or_else(|error| panic!("{error}")))
}

fn f32s(shape: &[usize], values: Vec<f32>) -> Tensor {
    Tensor::new(shape.to_vec(), &values).expect("as many values as the shape says")
}

/// The same numbers as in the script.
fn pattern(shape: &[usize], least: i64, most: i64, divisor: f32) -> Tensor {
    let count = shape.iter().product::<usize>() as i64;
    let value = |index: i64| (index * 7919 % 2003 % (most - least + 1) + least) as f32 / divisor;
    f32s(shape, (0..count).map(value).collect())
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number")).collect()
}

/// Compares the first elements of each row.
fn close(found: &Tensor, rows: &Value, tolerance: f64) {
    let width = found.count() / found.shape().first().expect("a batch axis");
    let found = found.elements::<f32>().expect("f32");
    for (found, wanted) in found.chunks(width).zip(rows.as_array().expect("rows")) {
        for (found, wanted) in found.iter().zip(numbers(wanted)) {
            assert!((f64::from(*found) - wanted).abs() <= tolerance, "{found} against {wanted}");
        }
    }
}

/// The second row is silent. Its text ends first, and is filled up to the first's.
#[test]
fn whisper_writes_what_pytorch_writes() {
    let golden = golden("whisper-tiny-en");
    let count = |key: &str| golden[key].as_u64().expect("a number") as usize;
    let (frames, heard) = (count("frames"), count("heard"));
    let (low, step) = (golden["low"].as_f64().expect("low") as f32, golden["step"].as_f64().expect("step"));
    let coded = std::fs::read(folder("whisper-tiny-en").join("golden.mel")).expect("a spectrogram");
    let mut mel = vec![low; 2 * 80 * frames];
    for (band, row) in coded.chunks(heard).enumerate() {
        for (to, byte) in mel[band * frames..].iter_mut().zip(row) {
            *to = f32::from(*byte) * step as f32 + low;
        }
    }
    let Some(outputs) = run("whisper-tiny-en", &[("frames", frames)], vec![f32s(&[2, 80, frames], mel)])
    else {
        return;
    };
    let wanted: Vec<Vec<i64>> = serde_json::from_value(golden["tokens"].clone()).expect("tokens");
    let found = outputs[0].elements::<i64>().expect("i64");
    assert_eq!(found.chunks(wanted[0].len()).collect::<Vec<_>>(), wanted);
    for (found, wanted) in
        outputs[1].elements::<f32>().expect("f32").iter().zip(numbers(&golden["mean_log_probability"]))
    {
        assert!((f64::from(*found) - wanted).abs() <= 1e-3, "{found} against {wanted}");
    }
}

#[test]
fn efficientnet_sees_what_pytorch_sees() {
    let frames = pattern(&[2, 3, 224, 224], 0, 255, 1.0);
    let Some(outputs) = run("efficientnet-lite0", &[], vec![frames]) else { return };
    let golden = golden("efficientnet-lite0");
    close(&outputs[0], &golden["logits"], 1e-3);
    close(&outputs[1], &golden["features"], 1e-3);
}

/// One text is padded, and its vector is that of the text alone.
#[test]
fn minilm_gives_the_vectors_of_pytorch() {
    let golden = golden("all-minilm-l6-v2");
    let input = |key: &str| {
        let rows: Vec<Vec<i64>> = serde_json::from_value(golden[key].clone()).expect("tokens");
        Tensor::new(vec![rows.len(), rows[0].len()], &rows.concat()).expect("rows of one length")
    };
    let inputs = vec![input("input_ids"), input("attention_mask")];
    let Some(outputs) = run("all-minilm-l6-v2", &[("length", 16)], inputs) else { return };
    close(&outputs[0], &golden["embedding"], 1e-4);
}

#[test]
fn fit_is_the_cosine_that_pytorch_computes() {
    let inputs = vec![pattern(&[2, 1000], -1000, 1000, 100.0), pattern(&[2, 384], -100, 100, 1.0)];
    let outputs = run("talk-fits-picture", &[], inputs).expect("it needs no weights");
    let golden = golden("talk-fits-picture");
    let fit: Vec<Value> = numbers(&golden["fit"]).into_iter().map(|fit| vec![fit].into()).collect();
    close(&outputs[0], &fit.into(), 1e-4);
    close(&outputs[1], &golden["picture"], 1e-4);
}
