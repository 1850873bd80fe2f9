//! When models are in memory.

use std::time::Duration;

use lockstep_engine::infer::load_model::Optimize;

use super::*;

fn changed(step: &str, limits: &str) -> Result<Pipeline, Problems> {
    let text = shipped("talking-face.toml")
        .replace("model = \"faces\"\n", &format!("model = \"faces\"\n{step}\n"))
        .replace("memory = \"256MiB\"\n", &format!("memory = \"256MiB\"\n{limits}\n"));
    load_text(&text, &Overrides::default())
}

#[test]
fn settings_read_when_models_are_in_memory() {
    let step = "load = \"lazy\"\nunload_after = \"10m\"\nmemory = \"64MiB\"";
    let pipeline = changed(step, "model_memory = { cpu = \"2GiB\", \"cuda:1\" = 4096 }");
    let pipeline = pipeline.unwrap_or_else(|problems| panic!("{problems}"));
    let residency = |name: &str| {
        let step = pipeline.steps.iter().find(|step| step.name == name).expect("the step");
        step.unit.residency
    };
    let lazy = residency("faces");
    assert!(lazy.is_lazy && !lazy.is_pinned);
    assert_eq!((lazy.unload_after, lazy.memory), (Some(Duration::from_secs(600)), Some(64 << 20)));
    assert_eq!(residency("voice"), Default::default());
    let limits: Vec<(&str, u64)> =
        pipeline.limits.model_memory.iter().map(|(device, bytes)| (device.as_str(), *bytes)).collect();
    assert_eq!(limits, [("cpu", 2 << 30), ("cuda:1", 4096)]);
}

#[test]
fn settings_refuse_what_keeps_and_drops_a_model() {
    for (step, limits, place, hint) in [
        ("pin = true\nunload_after = \"1s\"", "", "steps.faces.unload_after", "remove one of the two"),
        ("optimize = \"fast\"", "", "steps.faces.optimize", "\"frozen\""),
        ("load = \"later\"", "", "steps.faces.load", "\"eager\" or \"lazy\""),
        ("memory = 10", "", "steps.faces.memory", "from 1 KiB"),
        ("", "model_memory = { auto = \"1GiB\" }", "limits.model_memory.auto", "is no device"),
        ("", "model_memory = { gpu = \"1GiB\" }", "limits.model_memory.gpu", "cuda:0"),
        ("", "model_memory = { cpu = \"much\" }", "limits.model_memory.cpu", "\"8MiB\""),
    ] {
        let problems = changed(step, limits).expect_err(place).to_string();
        assert!(problems.contains(place) && problems.contains(hint), "{problems}");
    }
}

#[test]
fn settings_take_forms_of_torchscript_models_alone() {
    let pipeline =
        changed("optimize = \"channels-last\"", "").unwrap_or_else(|problems| panic!("{problems}"));
    let step = pipeline.steps.iter().find(|step| step.name == "faces").expect("the step");
    assert_eq!(step.unit.model.optimize, Optimize::ChannelsLast);
    let text =
        shipped("voice.toml").replace("model = \"voice\"", "model = \"voice-onnx\"\noptimize = \"fused\"");
    let problems = load_text(&text, &Overrides::default()).expect_err("ONNX").to_string();
    assert!(
        problems.contains("steps.voice.optimize") && problems.contains("onnxruntime runs this one"),
        "{problems}"
    );
}
