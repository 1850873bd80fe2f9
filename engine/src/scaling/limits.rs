//! Limits on the number of shards and instances.

use super::measures::{Scaled, StageLoad};
use super::spec::{CountBounds, Policy, ScalingSpec};
use crate::sharding::MOST_SHARDS;

/// Resources of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineResources {
    /// Cores; at least 1.
    pub cores: usize,
    /// Bytes of memory for further instances; `None` if unbounded.
    pub memory: Option<u64>,
}

/// Bounds of a number, both at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountLimits {
    /// The least.
    pub min: usize,
    /// The most; not below `min`.
    pub max: usize,
}

/// The most instances of a step.
pub const MOST_INSTANCES: usize = 64;

/// The hard upper limit of a process, whatever is configured.
const fn most(what: Scaled) -> usize {
    match what {
        Scaled::Shards => MOST_SHARDS,
        Scaled::Instances(_) => MOST_INSTANCES,
    }
}

impl CountLimits {
    /// Takes the limits from the settings, else derives them from the machine and the number at the start.
    ///
    /// Without a configured maximum there are at most as many shards as cores, or as the highest level asks for. A step
    /// without bounds keeps its number of instances. The memory caps the instances. With [`Policy::Fixed`] the number
    /// at the start is the only one allowed.
    pub fn of(spec: &ScalingSpec, machine: &MachineResources, stage: &StageLoad, start: usize) -> Self {
        let there_can_be = most(stage.what);
        let start = start.clamp(1, there_can_be);
        if spec.policy == Policy::Fixed {
            return Self { min: start, max: start };
        }
        let levels = || spec.levels.iter();
        let (bounds, least, most) = match stage.what {
            Scaled::Shards if spec.policy == Policy::Step => (
                spec.shards,
                levels().map(|level| level.shards).min().unwrap_or(start),
                levels().map(|level| level.shards).max().unwrap_or(start),
            ),
            Scaled::Shards => (spec.shards, 1, machine.cores.max(start)),
            Scaled::Instances(step) => (spec.instances.get(step).copied().unwrap_or_default(), start, start),
        };
        let CountBounds { min, max } = bounds;
        let max_said = max.unwrap_or_else(|| most.max(min.unwrap_or(1)));
        let fits = match (stage.what, stage.bytes, machine.memory) {
            (Scaled::Instances(_), Some(bytes), Some(memory)) if bytes > 0 => {
                // Running instances have their memory already.
                let more = usize::try_from(memory / bytes).unwrap_or(there_can_be);
                start.saturating_add(more)
            }
            _ => there_can_be,
        };
        let max = max_said.min(fits).clamp(1, there_can_be);
        Self { min: min.unwrap_or_else(|| least.min(max_said)).clamp(1, max), max }
    }

    /// Limits of a manual override: those in the settings, and no others.
    pub fn manual_override(spec: &ScalingSpec, what: Scaled) -> Self {
        let bounds = match what {
            Scaled::Shards => spec.shards,
            Scaled::Instances(step) => spec.instances.get(step).copied().unwrap_or_default(),
        };
        let there_can_be = most(what);
        let max = bounds.max.unwrap_or(there_can_be).clamp(1, there_can_be);
        Self { min: bounds.min.unwrap_or(1).clamp(1, max), max }
    }

    /// The nearest number within them.
    pub fn clamp(&self, count: usize) -> usize {
        count.clamp(self.min, self.max.max(self.min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaling::spec::Level;

    const MACHINE: MachineResources = MachineResources { cores: 8, memory: None };

    fn stage(what: Scaled) -> StageLoad {
        StageLoad {
            what,
            name: "it".into(),
            count: 1,
            busy: 0.0,
            cost: None,
            full_cost: None,
            cores: 1.0,
            bytes: None,
        }
    }

    fn limits(spec: &ScalingSpec, what: Scaled, start: usize) -> (usize, usize) {
        let limits = CountLimits::of(spec, &MACHINE, &stage(what), start);
        (limits.min, limits.max)
    }

    #[test]
    fn limits_default_to_cores_levels_and_the_start() {
        let mut spec = ScalingSpec::default();
        assert_eq!(limits(&spec, Scaled::Shards, 2), (1, 8));
        assert_eq!(limits(&spec, Scaled::Shards, 12), (1, 12));
        assert_eq!(limits(&spec, Scaled::Instances(0), 3), (3, 3));
        spec.policy = Policy::Step;
        assert_eq!(limits(&spec, Scaled::Shards, 2), (4, 16));
        spec.policy = Policy::Fixed;
        assert_eq!(limits(&spec, Scaled::Shards, 2), (2, 2));
    }

    #[test]
    fn configured_limits_win() {
        let bounds = CountBounds { min: Some(2), max: Some(5) };
        let mut spec = ScalingSpec { shards: bounds, instances: vec![bounds], ..ScalingSpec::default() };
        assert_eq!(limits(&spec, Scaled::Shards, 1), (2, 5));
        assert_eq!(limits(&spec, Scaled::Instances(0), 1), (2, 5));
        assert_eq!(limits(&spec, Scaled::Instances(1), 4), (4, 4), "it has no bounds");
        spec.shards = CountBounds { min: Some(20), max: None };
        assert_eq!(limits(&spec, Scaled::Shards, 1), (20, 20));
        spec.policy = Policy::Step;
        spec.levels = vec![Level { lag: 0, shards: 1, instances: None }];
        assert_eq!(limits(&spec, Scaled::Shards, 1), (20, 20));
    }

    #[test]
    fn memory_caps_the_instances() {
        let bounds = CountBounds { min: Some(1), max: Some(10) };
        let spec = ScalingSpec { instances: vec![bounds], ..ScalingSpec::default() };
        let stage = StageLoad { bytes: Some(100), ..stage(Scaled::Instances(0)) };
        let machine = MachineResources { cores: 8, memory: Some(350) };
        assert_eq!(CountLimits::of(&spec, &machine, &stage, 2), CountLimits { min: 1, max: 5 });
        let machine = MachineResources { cores: 8, memory: Some(0) };
        assert_eq!(CountLimits::of(&spec, &machine, &stage, 2), CountLimits { min: 1, max: 2 });
    }
}
