//! What came of a demo: counts, and where the time went.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use lockstep_actors::Observer;
use lockstep_engine::fault::Fault;
use lockstep_engine::infer::job::Job;
use lockstep_engine::position::InputId;
use lockstep_engine::publish::result::Timing;
use lockstep_engine::time::nanos;
use parking_lot::Mutex;
use serde_json::{Value, json};

const PARTS: [&str; 7] =
    ["in Kafka", "alignment wait", "batch wait", "preprocessing", "model", "publishing", "whole"];

/// Counts, shared with the pipeline's observer.
pub(super) struct DemoCounts {
    inputs: Vec<String>,
    counts: Arc<Mutex<DemoTotals>>,
}

#[derive(Clone, Default)]
struct DemoTotals {
    bundles: u64,
    complete: u64,
    inputs: Vec<InputCounts>,
    /// Latencies by part, in nanoseconds.
    times: [Vec<i64>; 7],
}

#[derive(Clone, Default)]
struct InputCounts {
    published: u64,
    used: u64,
    late: u64,
    dropped: BTreeMap<&'static str, u64>,
    dead: BTreeMap<&'static str, u64>,
}

impl InputCounts {
    fn ended(&self) -> u64 {
        self.used + self.late + self.dropped.values().sum::<u64>() + self.dead.values().sum::<u64>()
    }
}

impl DemoCounts {
    pub(super) fn new(inputs: Vec<String>) -> Self {
        let counts =
            DemoTotals { inputs: vec![InputCounts::default(); inputs.len()], ..DemoTotals::default() };
        Self { inputs, counts: Arc::new(Mutex::new(counts)) }
    }

    pub(super) fn observer(&self) -> Box<dyn Observer> {
        Box::new(Watcher(self.counts.clone()))
    }

    /// Says how many records went out to each input, whose topics have the inputs' names.
    pub(super) fn published(&self, records: &BTreeMap<String, u64>) {
        let mut counts = self.counts.lock();
        for (name, of) in self.inputs.iter().zip(&mut counts.inputs) {
            of.published = records.get(name).copied().unwrap_or(0);
        }
    }

    /// Results acknowledged.
    pub(super) fn results(&self) -> u64 {
        self.counts.lock().bundles
    }

    /// Records of an input that have ended, one way or another.
    pub(super) fn ended(&self, input: &str) -> u64 {
        let counts = self.counts.lock();
        self.inputs
            .iter()
            .zip(&counts.inputs)
            .filter(|(name, _)| *name == input)
            .map(|(_, of)| of.ended())
            .sum()
    }

    pub(super) fn text(&self) -> String {
        let counts = self.counts.lock().clone();
        let mut text = format!("{} bundles, {} complete\n", counts.bundles, counts.complete);
        for (name, of) in self.inputs.iter().zip(&counts.inputs) {
            let list = |counts: &BTreeMap<&str, u64>| -> String {
                let each: Vec<String> = counts.iter().map(|(why, count)| format!("{count} {why}")).collect();
                if each.is_empty() { "0".into() } else { each.join(", ") }
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{name:>8}: {} published, {} used, {} late, dropped {}, dead-lettered {}, {} kept for bundles to come",
                of.published,
                of.used,
                of.late,
                list(&of.dropped),
                list(&of.dead),
                of.published.saturating_sub(of.ended()),
            );
        }
        let _ = writeln!(text, "\n{:>16} {:>9} {:>9} {:>9}   (ms)", "", "p50", "p95", "p99");
        for (part, times) in PARTS.iter().zip(&counts.times) {
            let [p50, p95, p99] = percentiles(times).map(|nanos| nanos as f64 / 1e6);
            let _ = writeln!(text, "{part:>16} {p50:>9.2} {p95:>9.2} {p99:>9.2}");
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let counts = self.counts.lock().clone();
        let inputs: serde_json::Map<String, Value> = self
            .inputs
            .iter()
            .zip(&counts.inputs)
            .map(|(name, of)| {
                let value =
                    json!({"published": of.published, "used": of.used, "late": of.late, "dropped": of.dropped, "dead_lettered": of.dead});
                (name.clone(), value)
            })
            .collect();
        let latency: serde_json::Map<String, Value> = PARTS
            .iter()
            .zip(&counts.times)
            .map(|(part, times)| {
                let [p50, p95, p99] = percentiles(times);
                (part.replace(' ', "_"), json!({"p50_ns": p50, "p95_ns": p95, "p99_ns": p99}))
            })
            .collect();
        json!({"summary": {
            "bundles": counts.bundles, "complete": counts.complete, "inputs": inputs, "latency": latency,
        }})
    }
}

/// The least values that at least 50, 95 and 99 of 100 do not exceed; 0 of nothing.
fn percentiles(times: &[i64]) -> [i64; 3] {
    let mut times = times.to_vec();
    times.sort_unstable();
    [50, 95, 99].map(|percent| {
        let rank = (times.len() * percent).div_ceil(100);
        times.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    })
}

struct Watcher(Arc<Mutex<DemoTotals>>);

impl Watcher {
    fn of(&self, input: InputId, count: impl FnOnce(&mut InputCounts)) {
        if let Some(of) = self.0.lock().inputs.get_mut(input.index()) {
            count(of);
        }
    }
}

impl Observer for Watcher {
    fn published(&mut self, job: &Job, timing: &Timing, publish: Duration) {
        let mut counts = self.0.lock();
        counts.bundles += 1;
        counts.complete += u64::from(job.bundle.is_complete());
        let publish = nanos(publish);
        let parts = [
            timing.kafka,
            timing.align,
            timing.batch,
            timing.preprocess,
            timing.model,
            publish,
            timing.total() + publish,
        ];
        for (times, part) in counts.times.iter_mut().zip(parts) {
            times.push(part);
        }
    }

    fn late(&mut self, input: InputId) {
        self.of(input, |of| of.late += 1);
    }

    fn dropped(&mut self, input: InputId, reason: &'static str) {
        self.of(input, |of| *of.dropped.entry(reason).or_default() += 1);
    }

    fn dead_lettered(&mut self, input: InputId, fault: &Fault) {
        self.of(input, |of| *of.dead.entry(fault.reason.code()).or_default() += 1);
    }

    fn used(&mut self, input: InputId) {
        self.of(input, |of| of.used += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let times: Vec<i64> = (1..=200).rev().collect();
        assert_eq!(percentiles(&times), [100, 190, 198]);
        assert_eq!(percentiles(&[7]), [7, 7, 7]);
        assert_eq!(percentiles(&[]), [0, 0, 0]);
    }
}
