//! The cost of a batch: a fixed part and a part for each bundle, learned from completed batches.
//!
//! Recursive least squares fits the two parts. Forgetting applies only to the direction that is observed, after R.
//! Kulhavý, "Restricted exponential forgetting in real-time identification", Automatica 23 (1987). So a model that only
//! sees batches of one size follows their cost, and keeps its knowledge of other sizes. A residual is cut to a multiple
//! of the usual residual before it counts (P. J. Huber, "Robust Estimation of a Location Parameter", Annals of
//! Mathematical Statistics 35 (1964)). So a single outlier has little effect, and the fit follows a lasting change
//! within a hundred batches.

use std::time::Duration;

/// The weight that an observation keeps with each that follows: about 30 observations count.
const MEMORY: f64 = 0.97;
/// The initial variance, in units of that of one observation.
const UNKNOWN: f64 = 1e4;
/// The lowest cost of a batch, in seconds.
const LEAST: f64 = 1e-9;
/// The largest residual that counts, in multiples of the usual one.
const SURPRISE: f64 = 4.0;
/// The bounds of the usual residual, as a part of the cost.
const LEAST_SURPRISE: f64 = 0.05;
const MOST_SURPRISE: f64 = 1.0;
/// The weight of a new residual in the usual one.
const FOLLOWS: f64 = 1.0 / 16.0;

/// The cost of a batch in seconds by its size: `fixed + per_item * size`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CostModel {
    /// The two parts as fitted; either may be slightly negative.
    fixed: f64,
    per_item: f64,
    /// The covariance `[fixed fixed, fixed item, item item]` in square seconds, for observations of variance 1.
    covariance: [f64; 3],
    /// The usual residual, as a part of the cost.
    surprise: f64,
    observed: u64,
}

impl CostModel {
    /// Records that a batch of `size` bundles took this time.
    pub fn observe(&mut self, size: usize, took: Duration) {
        if size == 0 {
            return;
        }
        let (size, took) = (size as f64, took.as_secs_f64());
        let expected = self.fixed + self.per_item * size;
        // The deviation is proportional to the cost, so each observation counts in units of the expected cost. A far
        // slower batch counts as less certain: the first batch after a pause is one.
        let unit = if self.observed == 0 { took } else { expected.max(took / SURPRISE) }.max(LEAST);
        if self.observed == 0 {
            // With one known size, half of the cost is taken as fixed.
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
            // An uncertain estimate allows a larger residual.
            let usual = self.surprise.clamp(LEAST_SURPRISE, MOST_SURPRISE);
            let most = SURPRISE * usual * (1.0 + known).sqrt();
            off = off.clamp(-most, most);
            self.surprise += (off.abs().min(MOST_SURPRISE) - self.surprise) * FOLLOWS;
        }
        self.fixed += toward_fixed / (1.0 + known) * off;
        self.per_item += toward_item / (1.0 + known) * off;
        // Forgetting applies to this observation's direction only: there the covariance shrinks by the observation and
        // grows by 1 / MEMORY.
        let keeps = MEMORY - (1.0 - MEMORY) / known;
        let shrinks = keeps / (MEMORY * (1.0 + known));
        self.covariance = [
            ff - shrinks * toward_fixed * toward_fixed,
            fi - shrinks * toward_fixed * toward_item,
            ii - shrinks * toward_item * toward_item,
        ];
        self.observed += 1;
    }

    /// True once a batch has been observed.
    pub fn is_known(&self) -> bool {
        self.observed > 0
    }

    /// The fixed cost of a batch, and the cost of each bundle, in seconds. Neither is negative: a part that the fit
    /// would make negative is zero, and the other is the best fit under that condition.
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

    /// The cost of a batch of `size` bundles, in seconds; 0 before the first observation.
    pub fn of(&self, size: usize) -> f64 {
        let (fixed, per_item) = self.parts();
        fixed + per_item * size as f64
    }
}

/// All measured costs of a step's batches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BatchCosts {
    /// The time in the model.
    pub model: CostModel,
    /// The recent time to fill a batch's memory, in seconds.
    pub preparing: f64,
    /// Seconds in the model and bundles of recent batches; older batches count less.
    recent: (f64, f64),
}

impl BatchCosts {
    /// Records that a batch of `size` bundles took this time in the model.
    pub fn ran(&mut self, size: usize, took: Duration) {
        self.model.observe(size, took);
        let (seconds, bundles) = self.recent;
        self.recent = (seconds * MEMORY + took.as_secs_f64(), bundles * MEMORY + size as f64);
    }

    /// The cost of a bundle in a batch of `size`, as a part of its cost in recent batches. The share is below 1 if
    /// recent batches were small. At most 1; `None` before the first observation.
    pub fn share_in(&self, size: usize) -> Option<f64> {
        if !self.model.is_known() {
            return None;
        }
        let (seconds, bundles) = self.recent;
        let share = self.model.of(size) / size.max(1) as f64 / (seconds / bundles);
        Some(share.min(1.0)).filter(|share| share.is_finite() && *share > 0.0)
    }

    /// Records the time to fill a batch's memory.
    pub fn prepared(&mut self, took: Duration) {
        self.preparing += (took.as_secs_f64() - self.preparing) * FOLLOWS;
    }
}

#[cfg(test)]
#[path = "cost_tests.rs"]
mod tests;
