//! The course of a simulation, second by second and as a whole.

use std::collections::BTreeMap;

use super::Plant;
use crate::scaling::Decision;

/// The course of a simulation.
#[derive(Clone, Debug, Default)]
pub struct SimulationRun {
    /// The names of the steps.
    pub steps: Vec<String>,
    /// One point for each second.
    pub points: Vec<SimulationPoint>,
    /// The decisions, each with its second.
    pub decisions: Vec<(f64, Decision)>,
    /// Results by latency in ticks, to three digits: since the last look, and in total.
    fresh: BTreeMap<i64, u64>,
    all: BTreeMap<i64, u64>,
    left: u64,
}

/// One second of a simulation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SimulationPoint {
    /// Seconds since the start.
    pub at: f64,
    /// Records that arrive, per second.
    pub rate: f64,
    /// Records that wait in Kafka.
    pub lag: u64,
    /// The age of the oldest of them, in seconds; 0 if none waits.
    pub age: f64,
    /// Running shards.
    pub shards: usize,
    /// Running instances, by step.
    pub instances: Vec<usize>,
    /// Processes that this one's work requires, if known.
    pub replicas: Option<f64>,
    /// Results.
    pub done: u64,
    /// Latency from a record's arrival in Kafka to its result, in seconds: the mean and the 99th percentile of this
    /// second; `None` without results.
    pub latency: Option<(f64, f64)>,
}

/// A simulation as a whole. Times are in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SimulationSummary {
    /// Results.
    pub done: u64,
    /// Records without a result at the end.
    pub left: u64,
    /// The highest lag.
    pub most_lag: u64,
    /// The age of the oldest event: the maximum, and the 99th percentile over all seconds.
    pub age: (f64, f64),
    /// The longest stretch for which the age was over its target; a stretch that lasts until the end counts too.
    pub over: f64,
    /// True if the age was over its target at the end.
    pub over_at_end: bool,
    /// Latency from a record's arrival in Kafka to its result: mean and 99th percentile.
    pub latency: (f64, f64),
    /// The mean latency of those seconds in which the age was not over its target.
    pub calm: f64,
    /// The number of changes of shards and instances.
    pub changes: usize,
    /// Shard-seconds, and instance-seconds of all steps.
    pub unit_seconds: (f64, f64),
}

impl SimulationRun {
    pub(super) fn new(plant: &Plant) -> Self {
        Self { steps: plant.steps.iter().map(|step| step.name.clone()).collect(), ..Self::default() }
    }

    pub(super) fn done(&mut self, ticks: i64, count: u64) {
        *self.fresh.entry(coarse(ticks)).or_default() += count;
    }

    pub(super) fn look(&mut self, point: SimulationPoint, decisions: Vec<Decision>) {
        let fresh = std::mem::take(&mut self.fresh);
        self.decisions.extend(decisions.into_iter().map(|decision| (point.at, decision)));
        self.points.push(SimulationPoint { done: fresh.values().sum(), latency: latency(&fresh), ..point });
        for (ticks, count) in fresh {
            *self.all.entry(ticks).or_default() += count;
        }
    }

    pub(super) fn left(&mut self, records: u64) {
        self.left = records;
    }

    /// Summarizes the simulation; `target` is the highest age of an event, in seconds.
    pub fn summary(&self, target: f64) -> SimulationSummary {
        let points = || self.points.iter();
        let mut ages: Vec<f64> = points().map(|point| point.age).collect();
        ages.sort_by(f64::total_cmp);
        let (mut over, mut stretch) = (0_u32, 0_u32);
        for age in points().map(|point| point.age) {
            stretch = if age > target { stretch + 1 } else { 0 };
            over = over.max(stretch);
        }
        let calm = points().filter(|point| point.age <= target);
        let (sum, count) = calm
            .filter_map(|point| Some((point.latency?.0, point.done)))
            .fold((0.0, 0_u64), |(sum, count), (mean, done)| (sum + mean * done as f64, count + done));
        SimulationSummary {
            done: self.all.values().sum(),
            left: self.left,
            most_lag: points().map(|point| point.lag).max().unwrap_or(0),
            age: (ages.last().copied().unwrap_or(0.0), rank(&ages, 0.99)),
            over: f64::from(over),
            over_at_end: stretch > 0,
            latency: latency(&self.all).unwrap_or_default(),
            calm: if count > 0 { sum / count as f64 } else { 0.0 },
            changes: self.decisions.len(),
            unit_seconds: (
                points().map(|point| point.shards as f64).sum(),
                points().map(|point| point.instances.iter().sum::<usize>() as f64).sum(),
            ),
        }
    }
}

/// Rounds to three digits, so that long latencies do not need one entry for each tick.
fn coarse(ticks: i64) -> i64 {
    let mut unit = 1;
    while ticks / unit >= 1_000 {
        unit *= 10;
    }
    (ticks + unit / 2) / unit * unit
}

fn rank(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// The mean and the 99th percentile, in seconds.
fn latency(ticks: &BTreeMap<i64, u64>) -> Option<(f64, f64)> {
    let count: u64 = ticks.values().sum();
    let sum: f64 = ticks.iter().map(|(ticks, count)| *ticks as f64 * *count as f64).sum();
    let rank = (count as f64 * 0.99).ceil() as u64;
    let mut below = 0;
    let p99 = ticks.iter().find(|(_, count)| {
        below += **count;
        below >= rank
    });
    p99.map(|(p99, _)| (sum / count as f64 * super::TICK, *p99 as f64 * super::TICK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_rounded_to_three_digits() {
        for (ticks, rounded) in
            [(0, 0), (7, 7), (999, 999), (1_004, 1_000), (1_005, 1_010), (123_456, 123_000)]
        {
            assert_eq!(coarse(ticks), rounded);
        }
    }
}
