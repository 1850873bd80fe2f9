//! The pipeline as the model sees it.

use std::time::Duration;

use lockstep_engine::infer::load_model::Device;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::scaling::model::{Plant, PlantStep};
use lockstep_settings::parse_duration;

use super::Args;

/// Records inside at most: four chunks of 256 in the link to ingest, and four in each to the shards.
const INSIDE: u64 = 2048;
/// The default time of a batch, and the time that each of its bundles adds.
const BATCH_COST: (Duration, Duration) = (Duration::from_millis(1), Duration::from_micros(500));
/// Nothing costs less: a cost of nothing would be a rate without end.
const LEAST: Duration = Duration::from_micros(1);

/// A length of time with its unit.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|length| *length <= Duration::from_secs(3600)).ok_or_else(|| {
        "write a length of time of at most an hour with its unit, as 500us, 2ms or 1s".to_owned()
    })
}

/// A length of time that something takes.
pub(super) fn cost(text: &str) -> Result<Duration, String> {
    length(text).and_then(
        |cost| {
            if cost < LEAST { Err(format!("it must be at least {LEAST:?}")) } else { Ok(cost) }
        },
    )
}

/// `faces=4ms+600us`
pub(super) fn batch_cost(text: &str) -> Result<(String, Duration, Duration), String> {
    let costs = text.split_once('=').and_then(|(step, costs)| Some((step, costs.split_once('+')?)));
    let (step, (batch, bundle)) = costs.ok_or("write STEP=TIME+TIME, as faces=4ms+600us")?;
    Ok((step.to_owned(), cost(batch)?, length(bundle)?))
}

/// The pipeline as the model sees it.
///
/// # Errors
/// A step is named that there is not.
pub(super) fn plant(pipeline: &Pipeline, args: &Args, cores: usize) -> Result<Plant, String> {
    let names: Vec<&str> = pipeline.steps.iter().map(|step| step.name.as_str()).collect();
    if let Some((unknown, ..)) = args.batch_cost.iter().find(|(step, ..)| !names.contains(&step.as_str())) {
        return Err(format!("--batch-cost: {unknown:?} is no step; the steps are {}", names.join(", ")));
    }
    let steps = pipeline.steps.iter().map(|step| {
        let said = args.batch_cost.iter().rfind(|(name, ..)| *name == step.name);
        let (batch, bundle) = said.map_or(BATCH_COST, |(_, batch, bundle)| (*batch, *bundle));
        PlantStep {
            name: step.name.clone(),
            instances: step.instances,
            batch_cost: batch.as_secs_f64(),
            bundle_cost: bundle.as_secs_f64(),
            max_size: step.batch.max_size,
            max_delay: step.batch.max_delay.as_secs_f64(),
            instance_start: args.instance_start.as_secs_f64(),
            cores: match step.unit.model.device {
                Device::Cuda(_) => 0.0,
                Device::Auto | Device::Cpu => step.unit.model.threads as f64,
            },
        }
    });
    Ok(Plant {
        cores,
        shards: pipeline.shards,
        record_cost: args.record_cost.as_secs_f64(),
        shard_start: args.shard_start.as_secs_f64(),
        inside: INSIDE,
        steps: steps.collect(),
        backlog: args.backlog,
        partitions: usize::from(args.partitions),
    })
}
