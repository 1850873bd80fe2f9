//! What the models of a pipeline need of each device's memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_backend::{Backend, footprint as size_of_files};
use lockstep_engine::infer::load_model::{Device, LoadModel};
use lockstep_engine::infer::step::{OnOpenCircuit, Step};
use lockstep_engine::models::{Need, plan};
use lockstep_engine::pipeline::Pipeline;

use crate::unit_runtime::Footprint;

/// The footprint of one copy of a step's model, with its fallback.
pub fn footprint(step: &Step, backends: &[Arc<dyn Backend>]) -> Footprint {
    let named = |name: &str| backends.iter().find(|backend| backend.name() == name);
    let size_of = |backend: &str, model: &LoadModel| {
        named(backend).map_or_else(|| size_of_files(model), |backend| backend.footprint(model))
    };
    let device = match step.unit.model.device {
        Device::Cpu => "cpu".to_owned(),
        Device::Cuda(index) => format!("cuda:{index}"),
        Device::Auto => {
            let best = named(&step.unit.backend).and_then(|backend| backend.devices().into_iter().next());
            let name = best.as_deref().and_then(|best| best.split_whitespace().next()).unwrap_or("cpu");
            name.to_owned()
        }
    };
    let fallback = match &step.care.on_open_circuit {
        OnOpenCircuit::Fallback(fallback) => size_of(&fallback.backend, &fallback.model),
        OnOpenCircuit::Wait | OnOpenCircuit::DeadLetter => 0,
    };
    let residency = step.unit.residency;
    let bytes = residency.memory.unwrap_or_else(|| size_of(&step.unit.backend, &step.unit.model) + fallback);
    Footprint { device: device.into(), need: Need { bytes, is_pinned: residency.is_pinned } }
}

/// Checks whether the models of a pipeline can share the memory that `limits.model_memory` gives them.
///
/// # Errors
/// For each device what does not fit, with the numbers.
pub fn check_model_memory(pipeline: &Pipeline, backends: &[Arc<dyn Backend>]) -> Result<(), Vec<String>> {
    #[derive(Default)]
    struct Sum {
        eager: u64,
        pinned: u64,
        largest: u64,
        steps: Vec<String>,
    }
    let mut sums: BTreeMap<Arc<str>, Sum> = BTreeMap::new();
    for step in &pipeline.steps {
        let Footprint { device, need } = footprint(step, backends);
        let sum = sums.entry(device).or_default();
        let all = need.bytes.saturating_mul(step.instances as u64);
        if !step.unit.residency.is_lazy {
            sum.eager += all;
        }
        if need.is_pinned {
            sum.pinned += all;
        } else {
            sum.largest = sum.largest.max(need.bytes);
        }
        let copies = if step.instances > 1 { format!("{} times ", step.instances) } else { String::new() };
        let pinned = if need.is_pinned { ", pinned" } else { "" };
        sum.steps.push(format!("{} {copies}{} bytes{pinned}", step.name, need.bytes));
    }
    let limits = pipeline.limits.model_memory.iter();
    let wrong: Vec<String> = limits
        .filter_map(|(device, limit)| {
            let Sum { eager, pinned, largest, steps } = sums.get(&**device)?;
            let why = plan(*limit, *eager, *pinned, *largest).err()?;
            Some(format!("limits.model_memory.{device}: {why} (steps: {})", steps.join(", ")))
        })
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}
