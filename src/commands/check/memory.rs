//! The memory of models in the summary: when copies load and unload, what each counts for, and the sums of each device.

use std::collections::BTreeMap;

use lockstep_actors::Footprint;
use lockstep_engine::infer::step::Step;
use lockstep_engine::infer::unit::ResidencySpec;
use lockstep_engine::pipeline::Pipeline;
use lockstep_settings::show_size;

/// When copies of a step's model are in memory, and the bytes that each counts for.
pub(super) fn of_step(step: &Step, footprint: &Footprint) -> String {
    let ResidencySpec { is_lazy, unload_after, is_pinned, .. } = step.unit.residency;
    let load = if is_lazy { "loads when it is needed" } else { "loads before the pipeline reads" };
    let unload =
        unload_after.map_or_else(String::new, |span| format!(", unloads after {span:?} without a batch"));
    let pin = if is_pinned { ", pinned" } else { "" };
    format!("{load}{unload}{pin}; a copy counts for {}", rounded(footprint.need.bytes))
}

/// For each device that has models or a limit: the limit, and the bytes of its models.
pub(super) fn of_devices(pipeline: &Pipeline, footprints: &[Footprint]) -> Vec<String> {
    /// The bytes of the models on a device.
    #[derive(Default)]
    struct ModelSizes {
        eager: u64,
        all: u64,
    }
    let limits = &pipeline.limits.model_memory;
    let mut sums: BTreeMap<&str, Option<ModelSizes>> =
        limits.keys().map(|device| (device.as_str(), None)).collect();
    for (step, footprint) in pipeline.steps.iter().zip(footprints) {
        let sum = sums.entry(&footprint.device).or_default().get_or_insert_default();
        let bytes = footprint.need.bytes.saturating_mul(step.instances as u64);
        sum.all = sum.all.saturating_add(bytes);
        if !step.unit.residency.is_lazy {
            sum.eager = sum.eager.saturating_add(bytes);
        }
    }
    let line = |(device, sum): (&str, Option<ModelSizes>)| {
        let limit = limits.get(device);
        let limit =
            limit.map_or_else(|| "no limit".to_owned(), |limit| format!("at most {}", show_size(*limit)));
        let sum = sum.map_or_else(
            || "no step runs there".to_owned(),
            |ModelSizes { eager, all }| {
                format!("{} at the start, {} if all are loaded", rounded(eager), rounded(all))
            },
        );
        format!("models on {device}: {limit}; {sum}")
    };
    sums.into_iter().map(line).collect()
}

/// Bytes for people, with one decimal of the unit.
fn rounded(bytes: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes >= 1 << shift {
            return format!("{:.1} {unit}", bytes as f64 / f64::from(1_u32 << shift));
        }
    }
    format!("{bytes} bytes")
}
