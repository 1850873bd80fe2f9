//! What is known of the load at a time.

use std::sync::Arc;
use std::time::Duration;

/// What can have another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scaled {
    /// The sync actors.
    Shards,
    /// The instances of the step in that place of the pipeline.
    Instances(usize),
}

/// What is known of the load at a time, of this process alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measures {
    /// Records that wait in Kafka: between what has been read and the ends of the partitions.
    pub lag: u64,
    /// How old the oldest event is that waits there; none if not known.
    pub age: Option<Duration>,
    /// Records that arrive in Kafka, per second; none if not known yet.
    pub arrival: Option<f64>,
    /// Records that are taken in, per second; none if not known yet.
    pub served: Option<f64>,
    /// The bytes of payloads in flight.
    pub bytes: u64,
    /// Partitions of the input that has most of them: no more processes can share the work.
    pub partitions: usize,
    /// What can have another number.
    pub stages: Vec<StageLoad>,
}

/// One stage: shards, or the instances of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StageLoad {
    /// Which.
    pub what: Scaled,
    /// What it is called in logs: `shards`, or `instances of faces`.
    pub name: Arc<str>,
    /// How many there are.
    pub count: usize,
    /// The share of their time that they worked, from 0 to 1, on average. Time in which one waits for others does
    /// not count.
    pub busy: f64,
    /// Seconds of work of one of them for a record of the pipeline; none if not known yet. Their time at work by
    /// the records that came through, the *service demand law* (E. Lazowska and others, "Quantitative System
    /// Performance", 1984, section 3.3). Work, not time, is what tells the true rate of something that is not busy
    /// (V. Kalavri and others, "Three steps is all you need", OSDI 2018).
    pub cost: Option<f64>,
    /// The same with full batches, if known: batches fill up under load before more instances help.
    pub full_cost: Option<f64>,
    /// Cores that one of them keeps busy when it works; 0 where a device does the work.
    pub cores: f64,
    /// The memory that one more takes, in bytes, if known.
    pub bytes: Option<u64>,
}

/// A stage that works for more than this share of its time has no other cost than the one measured.
const SATURATED: f64 = 0.95;

impl Measures {
    /// How many times as long work takes as it would on cores of its own: time at work by the cores that there are,
    /// where that is more than they can do. Threads that wait for a core seem to work.
    pub fn slowdown(&self, cores: usize) -> f64 {
        let at_work = |stage: &StageLoad| stage.busy * stage.count as f64 * stage.cores;
        (self.stages.iter().map(at_work).sum::<f64>() / cores.max(1) as f64).max(1.0)
    }
}

impl StageLoad {
    /// Seconds of work for a record on a core or a device of its own, as far as is known, where work is slowed down
    /// by so much.
    pub fn demand(&self, slowdown: f64) -> Option<f64> {
        let slowdown = if self.cores > 0.0 { slowdown } else { 1.0 };
        let cost = self.cost.map(|cost| cost / slowdown).filter(|cost| cost.is_finite() && *cost > 0.0);
        match self.full_cost.filter(|full| full.is_finite() && *full > 0.0) {
            Some(full) if self.busy < SATURATED => Some(cost.map_or(full, |cost| cost.min(full))),
            full => cost.or(full),
        }
    }
}
