//! When models are in memory: `load`, `unload_after`, `pin` and `memory` of a step, and `limits.model_memory`.

use std::collections::BTreeMap;

use lockstep_engine::infer::load_model::Device;
use lockstep_engine::infer::unit::ResidencySpec;

use super::device::parse_device;
use super::kinds::{boolean, positive_duration, size, word};
use super::reader::Section;

/// The range of the memory for models.
const MODEL_MEMORY: std::ops::RangeInclusive<u64> = (1 << 10)..=(1 << 50);

/// The residency of a step's model.
pub(super) fn residency(step: &Section<'_>) -> ResidencySpec {
    let spec = ResidencySpec {
        is_lazy: step.or("load", false, word(&[("eager", false), ("lazy", true)])),
        unload_after: step.optional("unload_after", positive_duration),
        is_pinned: step.or("pin", false, boolean),
        memory: step.optional("memory", size(MODEL_MEMORY)),
    };
    if spec.is_pinned && spec.unload_after.is_some() {
        step.wrong("unload_after", "never happens, since pin = true keeps the model; remove one of the two");
    }
    spec
}

/// `limits.model_memory`: bytes by device.
pub(super) fn model_memory(limits: &Section<'_>) -> BTreeMap<String, u64> {
    let Some(section) = limits.open_table("model_memory") else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for name in section.names() {
        if !matches!(parse_device(name), Some(Device::Cpu | Device::Cuda(_))) || name == "cuda" {
            section.wrong(name, "is no device; write cpu = \"2GiB\" or \"cuda:0\" = \"12GiB\"");
        } else if let Some(bytes) = section.optional(name, size(MODEL_MEMORY)) {
            found.insert(name.to_owned(), bytes);
        }
    }
    section.finish();
    found
}
