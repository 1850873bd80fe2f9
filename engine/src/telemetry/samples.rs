//! Metrics of single samples. Their handles are kept: a lookup by labels takes a lock that all threads share, and
//! memory for the labels.

use std::sync::OnceLock;

use metrics::{Counter, Histogram, counter, histogram};

/// Distances in event time between samples and their bundle's pivot, by input.
pub struct Skews(Vec<Histogram>);

impl Skews {
    /// Creates the histograms of these inputs, in their order.
    pub fn new<'a>(inputs: impl Iterator<Item = &'a str>) -> Self {
        let of = |input: &str| histogram!("lockstep_skew_seconds", "input" => input.to_owned());
        Self(inputs.map(of).collect())
    }

    /// Records the distance of one sample, in nanoseconds.
    pub fn record(&self, input: usize, nanos: i64) {
        if let Some(histogram) = self.0.get(input) {
            histogram.record(nanos.unsigned_abs() as f64 / 1e9);
        }
    }
}

/// The reason why a sample ends without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// No bundle took it.
    Unused,
    /// Another sample has its event time, or its id.
    Duplicate,
    /// Its bundle was dropped.
    BundleDropped,
}

impl DropReason {
    /// Its name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Duplicate => "duplicate",
            Self::BundleDropped => "bundle-dropped",
        }
    }
}

/// Counts of samples that ended without a result, by input and reason. A counter of 0 is not exported.
pub struct Drops {
    inputs: Vec<String>,
    counters: Vec<[OnceLock<Counter>; 3]>,
}

impl Drops {
    /// Creates the counters of these inputs, in their order.
    pub fn new(inputs: Vec<String>) -> Self {
        Self { counters: inputs.iter().map(|_| Default::default()).collect(), inputs }
    }

    /// Counts a sample of an input.
    pub fn add(&self, input: usize, reason: DropReason) {
        let (Some(name), Some(counters)) = (self.inputs.get(input), self.counters.get(input)) else { return };
        let of = || counter!("lockstep_dropped_total", "input" => name.clone(), "reason" => reason.as_str());
        if let Some(counter) = counters.get(reason as usize) {
            counter.get_or_init(of).increment(1);
        }
    }
}
