//! When a dynamic batch goes, and how large it is made, by the rate of arrival and the measured cost.
//!
//! With an idle instance and `n` bundles in hand there are two ways. Going now serves these, and makes the next
//! arrival, expected in `w`, wait for them. Waiting for it delays each of the `n` by `w` and its share of the larger
//! batch, `p`, and saves the next one the fixed cost `f` of a batch of its own, less the `w` that it would have had
//! anyway. So waiting pays while `f - w > n (w + p)`, that is for `w` below `(f - n p) / (n + 1)`. That the best
//! policy is such a threshold is shown by R. K. Deb and R. F. Serfozo, "Optimal control of batch service queues",
//! Advances in Applied Probability 5 (1973); this is their trade-off for one step ahead.
//!
//! While all instances are busy waiting costs nothing: the batch goes as long before the first of them is expected to
//! be free as it takes to fill its memory.

use std::collections::VecDeque;
use std::time::Duration;

use crate::batch::Costs;
use crate::time::Timestamp;

/// How fast the mean gap between arrivals follows: some 30 arrivals count.
const FOLLOWS: f64 = 1.0 / 32.0;
/// A gap counts up to so many times the mean, so that a pause does not stand for the rate after it.
const PAUSE: f64 = 8.0;
/// Shorter waits are not worth it, in seconds: timers are no finer than a millisecond.
const SHORTEST: f64 = 0.5e-3;
/// The shortest mean gap that a pause is held against, in seconds.
const LEAST_GAP: f64 = 1e-6;
/// How busy instances may be with batches that are kept small.
const BUSY: f64 = 0.8;

/// What is known of arrivals, costs and instances.
#[derive(Clone, Debug)]
pub struct Pace {
    instances: usize,
    costs: Costs,
    last: Option<Timestamp>,
    /// The mean gap between arrivals in seconds.
    gap: Option<f64>,
    /// When batches under way are expected to end, ascending; `MAX` where nothing is known of costs.
    ends: VecDeque<Timestamp>,
    under_way: usize,
}

impl Pace {
    /// For so many instances that serve one queue; at least one.
    pub fn new(instances: usize) -> Self {
        let (costs, ends) = (Costs::default(), VecDeque::new());
        Self { instances: instances.max(1), costs, last: None, gap: None, ends, under_way: 0 }
    }

    /// So many instances serve the queue from here on; at least one.
    pub fn serve(&mut self, instances: usize) {
        self.instances = instances.max(1);
    }

    /// What batches have cost so far.
    pub fn learn(&mut self, costs: Costs) {
        self.costs = costs;
    }

    /// A bundle has arrived.
    pub fn arrived(&mut self, now: Timestamp) {
        if let Some(last) = self.last {
            let gap = now.since(last).as_secs_f64();
            self.gap = Some(match self.gap {
                None => gap,
                Some(mean) => mean + (gap.min(PAUSE * mean.max(LEAST_GAP)) - mean) * FOLLOWS,
            });
        }
        self.last = self.last.max(Some(now));
    }

    /// So many batches have been cut and have not ended.
    pub fn under_way(&mut self, batches: usize) {
        while self.ends.len() > batches {
            self.ends.pop_front();
        }
        self.under_way = batches;
    }

    /// A batch of so many bundles was cut.
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

    /// When the first instance will have nothing to do; none when that is so now.
    fn free_at(&self) -> Option<Timestamp> {
        let before = self.under_way.checked_sub(self.instances)?;
        Some(self.ends.get(before).copied().unwrap_or(Timestamp::MAX))
    }

    /// When `waiting` bundles should go if no other arrives, the oldest of which came at `oldest`.
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
        // An arrival that is overdue is expected no sooner than it is overdue already.
        let until = last.after(seconds(pays_below));
        let larger = seconds(self.costs.preparing + self.costs.model.of(waiting + 1));
        target.map_or(until, |target| until.min(oldest.after(target).before(larger)))
    }

    /// The most bundles of a batch, up to `most`, with which a target is kept. A bundle may have to wait for a whole
    /// batch before its own runs, so that a batch may take half of the target; but not so small that instances
    /// would be busy more than four fifths of the time.
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
        let that_keeps_up = (rate * fixed / spare).ceil();
        // Casts of numbers that are too large or negative end at the bounds.
        (in_time.max(that_keeps_up) as usize).clamp(1, most.max(1))
    }
}

/// Not for ever, whatever is fitted.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 1e6)).unwrap_or_default()
}
