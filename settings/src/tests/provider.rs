//! The provider of ONNX Runtime that runs a model on a GPU.

use lockstep_engine::infer::load_model::GpuProvider;

use super::*;

fn with(model: &str, keys: &str) -> Result<Pipeline, Problems> {
    let text = shipped("talking-face.toml")
        .replace("model = \"voice\"\n", &format!("model = \"{model}\"\n{keys}\n"));
    load_text(&text, &Overrides::default())
}

#[test]
fn settings_read_the_provider_of_a_model() {
    for (keys, expected) in [
        ("", GpuProvider::Cuda),
        ("provider = \"cuda\"", GpuProvider::Cuda),
        ("device = \"cuda:1\"\nprovider = \"tensorrt\"", GpuProvider::TensorRt),
    ] {
        let pipeline = with("voice-onnx", keys).unwrap_or_else(|problems| panic!("{problems}"));
        let step = pipeline.steps.iter().find(|step| step.name == "voice").expect("the step");
        assert_eq!(step.unit.model.provider, expected, "{keys}");
    }
}

#[test]
fn settings_refuse_a_provider_that_cannot_be() {
    let place = "steps.voice.provider";
    for (model, keys, hint) in [
        ("voice-onnx", "provider = \"openvino\"", "write \"cuda\" or \"tensorrt\""),
        (
            "voice",
            "provider = \"cuda\"",
            "is for models of onnxruntime, and voice runs by libtorch; remove the key",
        ),
    ] {
        let problems = with(model, keys).expect_err(hint).to_string();
        assert!(problems.contains(place) && problems.contains(hint), "{problems}");
    }
}
