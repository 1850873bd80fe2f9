//! What a pipeline asks of scaling.

use std::time::Duration;

/// `[scaling]` of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingSpec {
    /// What counts follow.
    pub policy: Policy,
    /// Of shards.
    pub shards: Bounds,
    /// Of each step's instances, by the step's place in the pipeline. A step without any keeps its number.
    pub instances: Vec<Bounds>,
    /// For [`Policy::Step`]: what the consumer lag asks for, ascending by lag; the first stands for the lag of 0.
    pub levels: Vec<Level>,
    /// For [`Policy::Step`]: a level is left when the lag is at most this share of what it begins at, from 0 to 1.
    pub drained: f64,
    /// For [`Policy::Target`], and for the number of processes with any policy.
    pub target: Target,
    /// How long counts stay.
    pub cooldown: Cooldown,
    /// Rates are averages over so long a time.
    pub smooth: Duration,
}

impl Default for ScalingSpec {
    /// Levels as they are well known: 4 shards, and 16 from a lag of 10 000 records on.
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            shards: Bounds::default(),
            instances: Vec::new(),
            levels: vec![
                Level { lag: 0, shards: 4, instances: None },
                Level { lag: 10_000, shards: 16, instances: None },
            ],
            drained: 0.1,
            target: Target::default(),
            cooldown: Cooldown::default(),
            smooth: Duration::from_secs(5),
        }
    }
}

/// What counts follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nothing: they stay as they are.
    Fixed,
    /// Thresholds on the consumer lag.
    Step,
    /// The age of the oldest event that has not been processed, by the measured cost of a record.
    #[default]
    Target,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fixed, Self::Step, Self::Target];

    /// As it stands in settings and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Step => "step",
            Self::Target => "target",
        }
    }
}

/// The least and the most of something; what is not said is found by [`super::Limits::of`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// At least 1.
    pub min: Option<usize>,
    /// Not less than `min`.
    pub max: Option<usize>,
}

/// A level of [`Policy::Step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// From so many records of lag on.
    pub lag: u64,
    /// So many shards.
    pub shards: usize,
    /// So many instances of each step that may have several numbers of them; none to leave them.
    pub instances: Option<usize>,
}

/// What [`Policy::Target`] keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The oldest event that has not been processed is to be no older.
    pub age: Duration,
    /// Where it is older, the backlog is to be processed within so long a time.
    pub drain_within: Duration,
    /// The share of its time that a shard or an instance is to work when there is no backlog, above 0 and at most 1.
    pub busy: f64,
}

impl Default for Target {
    fn default() -> Self {
        Self { age: Duration::from_secs(5), drain_within: Duration::from_secs(60), busy: 0.8 }
    }
}

/// How long counts stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooldown {
    /// After a change, before there may be more: so long does it take to see what the change has done.
    pub up: Duration,
    /// Before there may be fewer: so long must fewer have been enough at every look. Then it is the most of these.
    pub down: Duration,
}

impl Default for Cooldown {
    fn default() -> Self {
        Self { up: Duration::from_secs(5), down: Duration::from_secs(30) }
    }
}

impl ScalingSpec {
    /// How long it takes at most until the age of the oldest event is back under its target after the load has
    /// risen, with [`Policy::Target`], if the limits suffice: until the rise is seen (three times the time of
    /// smoothing shows 95 % of a step, which the idle share of [`Target::busy`] makes up for) and a cooldown is
    /// over, until what was asked for works, and the time to drain.
    pub fn recovers_within(&self, start: Duration) -> Duration {
        self.smooth * 3 + self.cooldown.up + start + self.target.drain_within
    }
}
