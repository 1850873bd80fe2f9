//! The least and the most that there may be.

use super::measures::{Scaled, StageLoad};
use super::spec::{Bounds, Policy, ScalingSpec};
use crate::sharding::MOST_SHARDS;

/// What a process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Cores; at least 1.
    pub cores: usize,
    /// Bytes for what more instances would take; none if that is not bounded.
    pub memory: Option<u64>,
}

/// The least and the most, both at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The least.
    pub min: usize,
    /// The most; not below `min`.
    pub max: usize,
}

/// The most instances of a step.
pub const MOST_INSTANCES: usize = 64;

/// No process has more than that, whatever is asked for.
const fn most(what: Scaled) -> usize {
    match what {
        Scaled::Shards => MOST_SHARDS,
        Scaled::Instances(_) => MOST_INSTANCES,
    }
}

impl Limits {
    /// What the settings say, else what follows from the machine and the number at the start.
    ///
    /// Of shards without a maximum there may be as many as cores, or as the highest level asks for. Of the instances of
    /// a step of which nothing is said there are as many as at the start. More instances than the memory holds are
    /// none. With [`Policy::Fixed`] the number at the start is all that there is.
    pub fn of(spec: &ScalingSpec, machine: &Machine, stage: &StageLoad, start: usize) -> Self {
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
        let Bounds { min, max } = bounds;
        let max_said = max.unwrap_or_else(|| most.max(min.unwrap_or(1)));
        let fits = match (stage.what, stage.bytes, machine.memory) {
            (Scaled::Instances(_), Some(bytes), Some(memory)) if bytes > 0 => {
                // Those that are there have their memory already.
                let more = usize::try_from(memory / bytes).unwrap_or(there_can_be);
                start.saturating_add(more)
            }
            _ => there_can_be,
        };
        let max = max_said.min(fits).clamp(1, there_can_be);
        Self { min: min.unwrap_or_else(|| least.min(max_said)).clamp(1, max), max }
    }

    /// For what is asked for by hand: what the settings say, and no more than that.
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

    const MACHINE: Machine = Machine { cores: 8, memory: None };

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
        let limits = Limits::of(spec, &MACHINE, &stage(what), start);
        (limits.min, limits.max)
    }

    #[test]
    fn what_is_not_said_follows_from_cores_levels_and_the_start() {
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
    fn what_is_said_counts() {
        let bounds = Bounds { min: Some(2), max: Some(5) };
        let mut spec = ScalingSpec { shards: bounds, instances: vec![bounds], ..ScalingSpec::default() };
        assert_eq!(limits(&spec, Scaled::Shards, 1), (2, 5));
        assert_eq!(limits(&spec, Scaled::Instances(0), 1), (2, 5));
        assert_eq!(limits(&spec, Scaled::Instances(1), 4), (4, 4), "nothing is said of it");
        spec.shards = Bounds { min: Some(20), max: None };
        assert_eq!(limits(&spec, Scaled::Shards, 1), (20, 20));
        spec.policy = Policy::Step;
        spec.levels = vec![Level { lag: 0, shards: 1, instances: None }];
        assert_eq!(limits(&spec, Scaled::Shards, 1), (20, 20));
    }

    #[test]
    fn no_more_instances_than_the_memory_holds() {
        let bounds = Bounds { min: Some(1), max: Some(10) };
        let spec = ScalingSpec { instances: vec![bounds], ..ScalingSpec::default() };
        let stage = StageLoad { bytes: Some(100), ..stage(Scaled::Instances(0)) };
        let machine = Machine { cores: 8, memory: Some(350) };
        assert_eq!(Limits::of(&spec, &machine, &stage, 2), Limits { min: 1, max: 5 });
        let machine = Machine { cores: 8, memory: Some(0) };
        assert_eq!(Limits::of(&spec, &machine, &stage, 2), Limits { min: 1, max: 2 });
    }
}
