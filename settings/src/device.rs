//! The device of a model, as the settings write it.

use lockstep_engine::infer::load_model::Device;
use toml::de::DeValue;

use super::kinds::{shown, string};

pub(super) fn device(value: &DeValue<'_>) -> Result<Device, String> {
    let text = string(value)?;
    parse_device(&text).ok_or_else(|| {
        format!("is {}; write \"auto\", \"cpu\" or \"cuda:0\" with the GPU's index", shown(value))
    })
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
