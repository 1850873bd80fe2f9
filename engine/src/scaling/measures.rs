//! Measures of the load at one moment.

use std::sync::Arc;
use std::time::Duration;

/// A stage whose number of units can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scaled {
    /// The sync actors.
    Shards,
    /// The instances of the step at this place of the pipeline.
    Instances(usize),
}

/// Measures of the load at one moment, of this process alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measures {
    /// The consumer lag: records between the offset read and the ends of the partitions.
    pub lag: u64,
    /// The age of the oldest event that waits in Kafka; `None` if unknown.
    pub age: Option<Duration>,
    /// Records that arrive in Kafka, per second; `None` if not known yet.
    pub arrival: Option<f64>,
    /// Records read, per second; `None` if not known yet.
    pub served: Option<f64>,
    /// Payload bytes in flight.
    pub bytes: u64,
    /// Partitions of the input that has most: no more processes can share the work.
    pub partitions: usize,
    /// The stages whose number of units can change.
    pub stages: Vec<StageLoad>,
}

/// One stage: shards, or the instances of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StageLoad {
    /// The stage.
    pub what: Scaled,
    /// Its name in logs: `shards`, or `instances of faces`.
    pub name: Arc<str>,
    /// The number of its units.
    pub count: usize,
    /// The share of their time for which the units worked, from 0 to 1, on average. Time in which a unit waits for
    /// others does not count.
    pub busy: f64,
    /// Seconds of work of one unit per record of the pipeline; `None` if not known yet. It is the time at work divided
    /// by the records that came through: the *service demand law* (E. Lazowska and others, "Quantitative System
    /// Performance", 1984, section 3.3). Work, not time, shows the true rate of a unit that is not busy (V. Kalavri and
    /// others, "Three steps is all you need", OSDI 2018).
    pub cost: Option<f64>,
    /// The cost with full batches, if known: under load, batches fill up before more instances help.
    pub full_cost: Option<f64>,
    /// Cores that one unit keeps busy when it works; 0 if a device does the work.
    pub cores: f64,
    /// The memory that one more unit takes, in bytes, if known.
    pub bytes: Option<u64>,
}

/// A stage that works for more than this share of its time is saturated: its measured cost is its true cost.
const SATURATED: f64 = 0.95;

impl Measures {
    /// The factor by which a lack of cores slows work down: the time at work divided by the cores, if that exceeds 1. A
    /// thread that waits for a core counts as working.
    pub fn slowdown(&self, cores: usize) -> f64 {
        let at_work = |stage: &StageLoad| stage.busy * stage.count as f64 * stage.cores;
        (self.stages.iter().map(at_work).sum::<f64>() / cores.max(1) as f64).max(1.0)
    }
}

impl StageLoad {
    /// Seconds of work per record on a core or a device of its own, as far as known. `slowdown` is the factor by which
    /// work is slowed down now.
    pub fn demand(&self, slowdown: f64) -> Option<f64> {
        let slowdown = if self.cores > 0.0 { slowdown } else { 1.0 };
        let cost = self.cost.map(|cost| cost / slowdown).filter(|cost| cost.is_finite() && *cost > 0.0);
        match self.full_cost.filter(|full| full.is_finite() && *full > 0.0) {
            Some(full) if self.busy < SATURATED => Some(cost.map_or(full, |cost| cost.min(full))),
            full => cost.or(full),
        }
    }
}
