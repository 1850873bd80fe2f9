//! What a batch costs: a fixed part and a part for each bundle, learned from the batches that were run.
//!
//! The two are fitted by recursive least squares. Forgetting goes in the direction of what is observed alone, after
//! R. Kulhavý, "Restricted exponential forgetting in real-time identification", Automatica 23 (1987): a model that
//! only ever sees batches of one size follows what they cost, and keeps what it knows of other sizes. A
//! surprise is cut to a multiple of the usual one before it counts (P. J. Huber, "Robust Estimation of a Location
//! Parameter", Annals of Mathematical Statistics 35 (1964)), so that a single outlier moves little, and a cost
//! that has really changed is followed within a hundred batches.

use std::time::Duration;

/// What remains of the weight of an observation with each that follows: about 30 of them count.
const MEMORY: f64 = 0.97;
/// The uncertainty of what was never observed, in units of that of one observation.
const UNKNOWN: f64 = 1e4;
/// No batch is taken to cost less, in seconds.
const LEAST: f64 = 1e-9;
/// A surprise counts up to so many times the usual one.
const SURPRISE: f64 = 4.0;
/// The usual surprise is at least the one and at most the other, as a part of the cost.
const LEAST_SURPRISE: f64 = 0.05;
const MOST_SURPRISE: f64 = 1.0;
/// How fast the usual surprise follows.
const FOLLOWS: f64 = 1.0 / 16.0;

/// The cost of a batch in seconds by its size: `fixed + per_item * size`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CostModel {
    /// The two parts as fitted, which may be a little below zero.
    fixed: f64,
    per_item: f64,
    /// Their covariance, `[fixed fixed, fixed item, item item]`, in square seconds for observations that vary by 1.
    covariance: [f64; 3],
    /// The usual size of a surprise, as a part of the cost.
    surprise: f64,
    observed: u64,
}

impl CostModel {
    /// A batch of so many bundles took so long.
    pub fn observe(&mut self, size: usize, took: Duration) {
        if size == 0 {
            return;
        }
        let (size, took) = (size as f64, took.as_secs_f64());
        let expected = self.fixed + self.per_item * size;
        // What varies is a part of the cost, so that each observation counts in units of what was expected. What took
        // far longer counts as less certain: that is how the first batch after a pause is.
        let unit = if self.observed == 0 { took } else { expected.max(took / SURPRISE) }.max(LEAST);
        if self.observed == 0 {
            // With one size known, half of the cost is taken to be fixed.
            let unknown = UNKNOWN * unit * unit;
            self.covariance = [unknown, 0.0, unknown / (size * size)];
            self.surprise = 0.5;
        }
        let (one, size) = (1.0 / unit, size / unit);
        let [ff, fi, ii] = self.covariance;
        let (toward_fixed, toward_item) = (ff * one + fi * size, fi * one + ii * size);
        let known = (toward_fixed * one + toward_item * size).max(f64::EPSILON);
        let mut off = (took - expected) / unit;
        if self.observed > 0 {
            // What is little known surprises more.
            let usual = self.surprise.clamp(LEAST_SURPRISE, MOST_SURPRISE);
            let most = SURPRISE * usual * (1.0 + known).sqrt();
            off = off.clamp(-most, most);
            self.surprise += (off.abs().min(MOST_SURPRISE) - self.surprise) * FOLLOWS;
        }
        self.fixed += toward_fixed / (1.0 + known) * off;
        self.per_item += toward_item / (1.0 + known) * off;
        // Only what this observation speaks of is forgotten: along it the covariance shrinks by it and grows by 1 / MEMORY.
        let keeps = MEMORY - (1.0 - MEMORY) / known;
        let shrinks = keeps / (MEMORY * (1.0 + known));
        self.covariance = [
            ff - shrinks * toward_fixed * toward_fixed,
            fi - shrinks * toward_fixed * toward_item,
            ii - shrinks * toward_item * toward_item,
        ];
        self.observed += 1;
    }

    /// Whether any batch has been observed.
    pub fn is_known(&self) -> bool {
        self.observed > 0
    }

    /// What a batch costs whatever its size, and what each bundle adds, in seconds. Never negative: where the fit would
    /// have one part below zero it is zero, and the other is the best fit under that condition.
    pub fn parts(&self) -> (f64, f64) {
        let [ff, fi, ii] = self.covariance;
        let given = |covariance: f64, variance: f64| if variance > 0.0 { covariance / variance } else { 0.0 };
        if self.fixed < 0.0 {
            (0.0, (self.per_item - given(fi, ff) * self.fixed).max(0.0))
        } else if self.per_item < 0.0 {
            ((self.fixed - given(fi, ii) * self.per_item).max(0.0), 0.0)
        } else {
            (self.fixed, self.per_item)
        }
    }

    /// What a batch of so many bundles costs, in seconds; 0 when nothing is known.
    pub fn of(&self, size: usize) -> f64 {
        let (fixed, per_item) = self.parts();
        fixed + per_item * size as f64
    }
}

/// All that is measured of a step's batches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Costs {
    /// The time in the model.
    pub model: CostModel,
    /// How long it takes to fill a batch's memory, in seconds, as of late.
    pub preparing: f64,
    /// The seconds in the model and the bundles of the batches of late; the further back, the less each counts.
    recent: (f64, f64),
}

impl Costs {
    /// A batch of so many bundles took so long in the model.
    pub fn ran(&mut self, size: usize, took: Duration) {
        self.model.observe(size, took);
        let (seconds, bundles) = self.recent;
        self.recent = (seconds * MEMORY + took.as_secs_f64(), bundles * MEMORY + size as f64);
    }

    /// What a bundle costs in a batch of so many, as a part of what it has cost in the batches of late: the first is
    /// lower where these were small. At most 1; none when nothing is known.
    pub fn share_in(&self, size: usize) -> Option<f64> {
        if !self.model.is_known() {
            return None;
        }
        let (seconds, bundles) = self.recent;
        let share = self.model.of(size) / size.max(1) as f64 / (seconds / bundles);
        Some(share.min(1.0)).filter(|share| share.is_finite() && *share > 0.0)
    }

    /// A batch's memory took so long to fill.
    pub fn prepared(&mut self, took: Duration) {
        self.preparing += (took.as_secs_f64() - self.preparing) * FOLLOWS;
    }
}

#[cfg(test)]
#[path = "cost_tests.rs"]
mod tests;
