//! Timing and size of dynamic batches, by the rate of arrival and the measured cost.
//!
//! With an idle instance and `n` waiting bundles there are two options. A batch cut now serves these, and the next
//! arrival, expected in `w`, waits for it. A batch that waits for the arrival delays each of the `n` bundles by `w` and
//! by the arrival's share of the larger batch, `p`. It saves the arrival the fixed cost `f` of a batch of its own, less
//! `w`, which it would have waited anyway. So waiting pays while `f - w > n (w + p)`, that is for `w` below `(f - n p)
//! / (n + 1)`. R. K. Deb and R. F. Serfozo show that the best policy is such a threshold ("Optimal control of batch
//! service queues", Advances in Applied Probability 5 (1973)). This is their trade-off for one step ahead.
//!
//! While all instances are busy, waiting costs nothing. The batch is cut just early enough to fill its memory before
//! the first instance is expected to be free.

use std::collections::VecDeque;
use std::time::Duration;

use crate::batch::BatchCosts;
use crate::time::Timestamp;

/// The weight of a new gap in the mean gap between arrivals: some 30 arrivals count.
const FOLLOWS: f64 = 1.0 / 32.0;
/// The largest gap that counts, in multiples of the mean, so that a pause does not stand for the rate after it.
const PAUSE: f64 = 8.0;
/// The shortest wait, in seconds: timers are no finer than a millisecond.
const SHORTEST: f64 = 0.5e-3;
/// The lower bound of the mean gap, in seconds, when a pause is compared with it.
const LEAST_GAP: f64 = 1e-6;
/// The highest load of instances with batches that are kept small.
const BUSY: f64 = 0.8;

/// Estimates of arrivals, costs and instances.
#[derive(Clone, Debug)]
pub struct BatchPace {
    instances: usize,
    costs: BatchCosts,
    last: Option<Timestamp>,
    /// The mean gap between arrivals, in seconds.
    gap: Option<f64>,
    /// The expected ends of running batches, ascending; `MAX` while costs are unknown.
    ends: VecDeque<Timestamp>,
    under_way: usize,
}

impl BatchPace {
    /// A pace for `instances` instances that serve one queue; at least one.
    pub fn new(instances: usize) -> Self {
        let (costs, ends) = (BatchCosts::default(), VecDeque::new());
        Self { instances: instances.max(1), costs, last: None, gap: None, ends, under_way: 0 }
    }

    /// Sets the number of instances that serve the queue; at least one.
    pub fn serve(&mut self, instances: usize) {
        self.instances = instances.max(1);
    }

    /// Takes over the measured costs of batches.
    pub fn learn(&mut self, costs: BatchCosts) {
        self.costs = costs;
    }

    /// Records the arrival of so many rows at once. They share the time since the arrival before, since the mean gap stands for
    /// the rate of rows.
    pub fn arrived(&mut self, now: Timestamp, rows: usize) {
        if let Some(last) = self.last.filter(|_| rows > 0) {
            let rows = rows as f64;
            let gap = now.since(last).as_secs_f64() / rows;
            let follows = 1.0 - (1.0 - FOLLOWS).powf(rows);
            self.gap = Some(match self.gap {
                None => gap,
                Some(mean) => mean + (gap.min(PAUSE * mean.max(LEAST_GAP)) - mean) * follows,
            });
        }
        self.last = self.last.max(Some(now));
    }

    /// Sets the number of batches that were cut and have not ended.
    pub fn under_way(&mut self, batches: usize) {
        while self.ends.len() > batches {
            self.ends.pop_front();
        }
        self.under_way = batches;
    }

    /// Records that a batch of `size` bundles was cut.
    pub fn cut(&mut self, size: usize, now: Timestamp) {
        let prepared = now.after(seconds(self.costs.preparing));
        let end = if self.costs.model.is_known() {
            self.free_at().unwrap_or(prepared).max(prepared).after(seconds(self.costs.model.of(size)))
        } else {
            Timestamp::MAX
        };
        self.ends.insert(self.ends.partition_point(|other| *other <= end), end);
        self.under_way += 1;
    }

    /// The time at which the first instance will be idle; `None` if one is idle now.
    fn free_at(&self) -> Option<Timestamp> {
        let before = self.under_way.checked_sub(self.instances)?;
        Some(self.ends.get(before).copied().unwrap_or(Timestamp::MAX))
    }

    /// The time at which `waiting` bundles are due if no other arrives; the oldest of them arrived at `oldest`.
    pub fn go_at(
        &self,
        waiting: usize,
        oldest: Timestamp,
        target: Option<Duration>,
        now: Timestamp,
    ) -> Timestamp {
        if let Some(free_at) = self.free_at() {
            return free_at.before(seconds(self.costs.preparing));
        }
        let (fixed, per_item) = self.costs.model.parts();
        let n = waiting as f64;
        let pays_below = (fixed - n * per_item) / (n + 1.0);
        let (Some(gap), Some(last)) = (self.gap, self.last) else { return now };
        if pays_below <= gap.max(SHORTEST) {
            return now;
        }
        // An overdue arrival is expected to take at least as long again as it is overdue.
        let until = last.after(seconds(pays_below));
        let larger = seconds(self.costs.preparing + self.costs.model.of(waiting + 1));
        target.map_or(until, |target| until.min(oldest.after(target).before(larger)))
    }

    /// The largest batch, up to `most`, that meets the target latency. A bundle may have to wait for a whole batch
    /// before its own runs, so a batch may take half of the target. A batch is not so small that instances would be
    /// busy for more than four fifths of the time.
    pub fn size(&self, most: usize, target: Option<Duration>) -> usize {
        let (Some(target), Some(gap), true) = (target, self.gap, self.costs.model.is_known()) else {
            return most;
        };
        let (fixed, per_item) = self.costs.model.parts();
        let rate = 1.0 / gap.max(LEAST_GAP);
        let spare = BUSY * self.instances as f64 - rate * per_item;
        if spare <= 0.0 {
            return most;
        }
        let in_time = (target.as_secs_f64() / 2.0 - fixed) / per_item.max(f64::MIN_POSITIVE);
        let keeping_up = (rate * fixed / spare).ceil();
        // Casts of numbers that are too large or negative end at the bounds.
        (in_time.max(keeping_up) as usize).clamp(1, most.max(1))
    }
}

/// Converts seconds to a duration, bounded whatever the fit.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 1e6)).unwrap_or_default()
}
