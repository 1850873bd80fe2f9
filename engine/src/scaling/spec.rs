//! Settings of autoscaling.

use std::time::Duration;

/// `[scaling]` of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingSpec {
    /// The policy that determines the numbers.
    pub policy: Policy,
    /// Bounds of the number of shards.
    pub shards: CountBounds,
    /// Bounds of each step's instances, by the step's place in the pipeline. A step without bounds keeps its number.
    pub instances: Vec<CountBounds>,
    /// For [`Policy::Step`]: the numbers for each consumer lag, ascending by lag. The first level has the lag 0.
    pub levels: Vec<Level>,
    /// For [`Policy::Step`]: a level ends when the lag is at most this share of its threshold, from 0 to 1.
    pub drained: f64,
    /// For [`Policy::Target`], and for the number of processes with any policy.
    pub target: ScalingTarget,
    /// The pauses between changes of a number.
    pub cooldown: Cooldown,
    /// The time constant of the averages of rates.
    pub smooth: Duration,
}

impl Default for ScalingSpec {
    /// The example levels: 4 shards, and 16 from a lag of 10 000 records on.
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            shards: CountBounds::default(),
            instances: Vec::new(),
            levels: vec![
                Level { lag: 0, shards: 4, instances: None },
                Level { lag: 10_000, shards: 16, instances: None },
            ],
            drained: 0.1,
            target: ScalingTarget::default(),
            cooldown: Cooldown::default(),
            smooth: Duration::from_secs(5),
        }
    }
}

/// The policy that determines the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The numbers stay as they are.
    Fixed,
    /// Thresholds on the consumer lag.
    Step,
    /// The age of the oldest event that has not been processed, by the measured cost of a record.
    #[default]
    Target,
}

impl Policy {
    /// All policies.
    pub const ALL: [Self; 3] = [Self::Fixed, Self::Step, Self::Target];

    /// The name in settings and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Step => "step",
            Self::Target => "target",
        }
    }
}

/// Configured bounds of a number. [`super::CountLimits::of`] derives those that are not configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountBounds {
    /// At least 1.
    pub min: Option<usize>,
    /// Not less than `min`.
    pub max: Option<usize>,
}

/// A level of [`Policy::Step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The lag, in records, from which on the level applies.
    pub lag: u64,
    /// The number of shards.
    pub shards: usize,
    /// The number of instances of each step whose number may change; `None` leaves the instances as they are.
    pub instances: Option<usize>,
}

/// The goals of [`Policy::Target`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalingTarget {
    /// The highest age of the oldest event that has not been processed.
    pub age: Duration,
    /// The time to drain a backlog that is older.
    pub drain_within: Duration,
    /// The share of its time for which a shard or an instance is to work without a backlog, above 0 and at most 1.
    pub busy: f64,
}

impl Default for ScalingTarget {
    fn default() -> Self {
        Self { age: Duration::from_secs(5), drain_within: Duration::from_secs(60), busy: 0.8 }
    }
}

/// Pauses between changes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooldown {
    /// The pause after a change before the number may grow: the change takes this time to show its effect.
    pub up: Duration,
    /// The time for which every look must have found fewer units to be enough. Then the number becomes the largest of
    /// those needs.
    pub down: Duration,
}

impl Default for Cooldown {
    fn default() -> Self {
        Self { up: Duration::from_secs(5), down: Duration::from_secs(30) }
    }
}

impl ScalingSpec {
    /// The time within which the age of the oldest event is back under its target after the load has risen. It holds
    /// for [`Policy::Target`] if the limits suffice. It is the sum of these times:
    ///
    /// - Three times `smooth`: then the average shows 95 % of a step. The idle share of [`ScalingTarget::busy`] makes
    ///   up for the rest.
    /// - A cooldown.
    /// - `start`, until a new unit works.
    /// - The time to drain.
    pub fn recovers_within(&self, start: Duration) -> Duration {
        self.smooth * 3 + self.cooldown.up + start + self.target.drain_within
    }
}
