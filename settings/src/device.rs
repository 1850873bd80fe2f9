//! The device of a model, as the settings write it, and the provider that runs the model there.

use lockstep_engine::infer::load_model::{Device, GpuProvider};
use toml::de::DeValue;

use super::kinds::{shown, string, word};
use super::models::RepositoryModel;
use super::reader::Section;

/// The only backend with providers.
const WITH_PROVIDERS: &str = "onnxruntime";

pub(super) fn device(value: &DeValue<'_>) -> Result<Device, String> {
    let text = string(value)?;
    parse_device(&text).ok_or_else(|| {
        format!("is {}; write \"auto\", \"cpu\" or \"cuda:0\" with the GPU's index", shown(value))
    })
}

/// The provider of a step. A step that runs on the CPU may name one: `--device` changes the device and no other key.
pub(super) fn provider(step: &Section<'_>, found: Option<&RepositoryModel>) -> GpuProvider {
    let words = [("cuda", GpuProvider::Cuda), ("tensorrt", GpuProvider::TensorRt)];
    let provider = step.or("provider", GpuProvider::default(), word(&words));
    if let Some(found) = found.filter(|found| found.backend != WITH_PROVIDERS && step.has("provider")) {
        step.wrong(
            "provider",
            format!(
                "is for models of {WITH_PROVIDERS}, and {} runs by {}; remove the key",
                found.name, found.backend
            ),
        );
    }
    provider
}

/// `auto`, `cpu` or `cuda:N`.
pub(super) fn parse_device(text: &str) -> Option<Device> {
    match text {
        "auto" => Some(Device::Auto),
        "cpu" => Some(Device::Cpu),
        "cuda" => Some(Device::Cuda(0)),
        _ => text.strip_prefix("cuda:")?.parse::<u8>().ok().map(|index| Device::Cuda(usize::from(index))),
    }
}
