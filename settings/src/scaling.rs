//! The scaling of shards and instances: `[scaling]`.

use lockstep_engine::infer::step::Step;
use lockstep_engine::scaling::{self, CountBounds, Level, Policy, ScalingSpec};
use lockstep_engine::sharding;
use toml::de::{DeTable, DeValue};

use super::kinds::{count, duration, list, number, positive_duration, shown, whole, word};
use super::problem::{did_you_mean, listed};
use super::reader::Section;

/// The most shards of a process.
pub(super) const MOST_SHARDS: u64 = sharding::MOST_SHARDS as u64;
/// The most instances of a step.
pub(super) const MOST_INSTANCES: u64 = scaling::MOST_INSTANCES as u64;

/// `[scaling]`. `steps` are the steps that could be read: all of them, if the file has no mistake.
pub(super) fn scaling(root: &Section<'_>, steps: &[Step]) -> ScalingSpec {
    let instances = vec![CountBounds::default(); steps.len()];
    let mut spec = ScalingSpec { instances, ..ScalingSpec::default() };
    let Some(section) = root.table("scaling") else { return spec };
    let policies = Policy::ALL.map(|policy| (policy.as_str(), policy));
    spec.policy = section.or("policy", spec.policy, word(&policies));
    if let Some(shards) = section.table("shards") {
        spec.shards = bounds(&shards, MOST_SHARDS);
    }
    let known = root.open_table("steps").map(|steps| steps.names()).unwrap_or_default();
    if let Some(instances) = section.open_table("instances") {
        for name in instances.names() {
            let Some(of_step) = instances.table(name) else { continue };
            let bounds = bounds(&of_step, MOST_INSTANCES);
            if !known.contains(&name) {
                let hint = did_you_mean(name, known.iter().copied());
                let steps = listed(known.iter().copied());
                of_step.wrong_here(format!("is no step{hint} (steps: {steps})"));
            }
            let place = steps.iter().position(|step| step.name == name);
            if let Some(of_step) = place.and_then(|place| spec.instances.get_mut(place)) {
                *of_step = bounds;
            }
        }
    }
    spec.levels = section.or("levels", spec.levels, |value| list(level)(value).and_then(rising));
    spec.drained = section.optional("drained", number(0.0..=1.0)).map_or(spec.drained, decimal);
    let target = &mut spec.target;
    target.age = section.or("target_age", target.age, positive_duration);
    target.drain_within = section.or("drain_within", target.drain_within, positive_duration);
    target.busy = section.optional("busy", number(0.1..=1.0)).map_or(target.busy, decimal);
    let cooldown = &mut spec.cooldown;
    cooldown.up = section.or("cooldown_up", cooldown.up, duration);
    cooldown.down = section.or("cooldown_down", cooldown.down, duration);
    spec.smooth = section.or("smooth", spec.smooth, positive_duration);
    if spec.policy == Policy::Step {
        within_bounds(&section, &spec);
    }
    section.finish();
    spec
}

/// The decimal number as written, which its `f32` only approximates.
fn decimal(number: f32) -> f64 {
    (f64::from(number) * 1e6).round() / 1e6
}

fn bounds(section: &Section<'_>, most: u64) -> CountBounds {
    let min = section.optional("min", count(1..=most));
    let max = section.optional("max", count(1..=most));
    if let (Some(min), Some(max)) = (min, max)
        && max < min
    {
        section
            .wrong("max", format!("is {max}, less than min, which is {min}; raise one or lower the other"));
    }
    section.finish();
    CountBounds { min, max }
}

/// `{ lag = 10000, shards = 16 }`
fn level(value: &DeValue<'_>) -> Result<Level, String> {
    let want = "{ lag = 10000, shards = 16 }";
    let DeValue::Table(table) = value else { return Err(format!("is {}; write {want}", shown(value))) };
    let keys = ["lag", "shards", "instances"];
    if let Some(unknown) = table.keys().map(|key| key.get_ref().as_ref()).find(|key| !keys.contains(key)) {
        return Err(format!("has the unknown key {unknown:?}{}", did_you_mean(unknown, keys)));
    }
    let required = |key: &str| format!("has no {key}; write {want}");
    Ok(Level {
        lag: of(table, "lag", whole(0..=u64::MAX / 2))?.ok_or_else(|| required("lag"))?,
        shards: of(table, "shards", count(1..=MOST_SHARDS))?.ok_or_else(|| required("shards"))?,
        instances: of(table, "instances", count(1..=MOST_INSTANCES))?,
    })
}

fn of<'v, T>(
    table: &DeTable<'v>,
    key: &str,
    kind: impl Fn(&DeValue<'v>) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let value = table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value.get_ref());
    value.map(|value| kind(value).map_err(|message| format!("has a wrong {key}: {message}"))).transpose()
}

/// Checks that levels rise: more lag never means fewer shards or instances.
fn rising(levels: Vec<Level>) -> Result<Vec<Level>, String> {
    if levels.first().is_none_or(|first| first.lag != 0) {
        return Err("has no entry for no lag; write an entry with lag = 0 first".to_owned());
    }
    for (place, pair) in levels.windows(2).enumerate() {
        let [before, after] = pair else { continue };
        let entry = place + 2;
        if after.lag <= before.lag {
            return Err(format!(
                "entry {entry} has lag {}, no more than the entry before; sort the entries by lag",
                after.lag
            ));
        }
        if after.shards < before.shards || after.instances < before.instances {
            return Err(format!(
                "entry {entry} has fewer than the entry before; write as many or more for more lag"
            ));
        }
        if after.instances.is_some() != before.instances.is_some() {
            return Err(format!(
                "entry {entry} and the entry before: one has instances and one has none; write them in all or in none"
            ));
        }
    }
    Ok(levels)
}

/// Notes levels outside the bounds, which could never be reached.
fn within_bounds(section: &Section<'_>, spec: &ScalingSpec) {
    let (CountBounds { min, max }, levels) = (spec.shards, &spec.levels);
    if let (Some(max), Some(last)) = (max, levels.last())
        && last.shards > max
    {
        section.wrong_at(
            &["shards", "max"],
            format!("is {max}, but scaling.levels has {} shards; raise one or lower the other", last.shards),
        );
    }
    if let (Some(min), Some(first)) = (min, levels.first())
        && first.shards < min
    {
        section.wrong_at(
            &["shards", "min"],
            format!("is {min}, but scaling.levels has {} shards; lower one or raise the other", first.shards),
        );
    }
}
