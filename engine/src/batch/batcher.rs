//! The queue of one model: when a batch is cut, and which bundles it has.
//!
//! The batch actor reserves a slot first and cuts the batch then, as late as possible. [`Batcher::go_at`] tells when
//! the next batch is due, [`Batcher::cut`] takes it.

use std::time::Duration;

use crate::batch::item::{BatchOrder, Batchable};
use crate::batch::pace::BatchPace;
use crate::batch::waiting::WaitingItems;
use crate::batch::{BatchCosts, BatchMode, BatchPolicy};
use crate::time::Timestamp;

/// The queue of one model.
#[derive(Debug)]
pub struct Batcher<T> {
    policy: BatchPolicy,
    queue: WaitingItems<T>,
    pace: BatchPace,
    is_behind: bool,
    /// See [`Self::set_wall_ahead`].
    wall_ahead_ns: i64,
    flushes: bool,
    chosen: BatchDecision,
}

/// The decision on a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchDecision {
    /// The largest number of bundles allowed.
    pub size: usize,
    /// The wait of its oldest bundle.
    pub waited: Duration,
}

/// The condition that a batch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DueRule {
    /// The batch is full, or has a preferred size.
    Full,
    /// The batch is full; a longer delay and no preferred sizes.
    OnlyFull,
    /// Waiting no longer pays.
    Worth,
}

impl<T: Batchable> Batcher<T> {
    /// An empty queue served by `instances` instances.
    pub fn new(policy: BatchPolicy, instances: usize, order: BatchOrder) -> Self {
        Self {
            policy,
            queue: WaitingItems::new(order),
            pace: BatchPace::new(instances),
            is_behind: false,
            wall_ahead_ns: 0,
            flushes: false,
            chosen: BatchDecision::default(),
        }
    }

    /// Caps the size of all further batches; at least one bundle.
    pub fn limit(&mut self, most: usize) {
        self.policy.max_size = self.policy.max_size.min(most).max(1);
        self.policy.preferred.retain(|size| *size <= most);
    }

    /// Sets the number of instances that serve the queue.
    pub fn serve(&mut self, instances: usize) {
        self.pace.serve(instances);
    }

    /// Removes the waiting items that `moves` picks, and returns them with their times of arrival, in that order.
    pub fn take_out(&mut self, moves: impl Fn(&T) -> bool) -> Vec<(Timestamp, T)> {
        let (out, rest) = self.queue.drain().into_iter().partition(|(_, item)| moves(item));
        self.queue.put_in(rest);
        out
    }

    /// Adds items from another queue in the order of their times of arrival. Items with the same time of arrival stay
    /// in their order.
    pub fn put_in(&mut self, items: Vec<(Timestamp, T)>) {
        self.queue.put_in(items);
    }

    /// Takes over the measured costs of batches.
    pub fn learn(&mut self, costs: BatchCosts) {
        self.pace.learn(costs);
    }

    /// Makes all further batches due at once, since the input has ended.
    pub fn flush(&mut self) {
        self.flushes = true;
    }

    /// Adds a bundle at the end.
    pub fn push(&mut self, item: T, now: Timestamp) {
        self.push_all([item], now);
    }

    /// Adds the rows of one bundle at the end.
    pub fn push_all(&mut self, items: impl IntoIterator<Item = T>, now: Timestamp) {
        let before = self.queue.len();
        items.into_iter().for_each(|item| self.queue.push(now, item));
        self.pace.arrived(now, self.queue.len() - before);
    }

    /// Sets the difference, in nanoseconds, between the wall clock and the clock of `now`. Event times and hours of the
    /// day follow the wall clock.
    pub fn set_wall_ahead(&mut self, by_ns: i64) {
        self.wall_ahead_ns = by_ns;
    }

    /// The number of waiting bundles.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// True if no bundle waits.
    pub fn is_empty(&self) -> bool {
        self.queue.len() == 0
    }

    /// The time at which the next batch is due if no bundle arrives and no batch ends. `now` or earlier means at once;
    /// `None` means that no bundle waits. `under_way` is the number of batches that were cut and have not ended. The
    /// time is never later than the longest wait of the oldest bundle. The caller asks again at each arrival, at each
    /// end of a batch, and at the returned time.
    pub fn go_at(&mut self, now: Timestamp, under_way: usize) -> Option<Timestamp> {
        self.pace.under_way(under_way);
        let (oldest, _) = self.queue.oldest()?;
        let rule = self.rule(now);
        let reaches = |size: &usize| self.queue.len() >= *size;
        let is_preferred = rule != DueRule::OnlyFull && self.policy.preferred.first().is_some_and(reaches);
        if self.flushes || is_preferred || reaches(&self.size(rule)) {
            return Some(now);
        }
        let latest = oldest.after(self.longest(rule));
        Some(match rule {
            DueRule::Full | DueRule::OnlyFull => latest,
            DueRule::Worth => {
                latest.min(self.pace.go_at(self.queue.len(), oldest, self.policy.target_latency, now))
            }
        })
    }

    /// Takes a batch: as many bundles as fit, or the largest preferred size available while no
    /// bundle is overdue. Empty only if no bundle waits.
    pub fn cut(&mut self, now: Timestamp) -> Vec<T> {
        let Some((oldest, _)) = self.queue.oldest() else { return Vec::new() };
        let rule = self.rule(now);
        let most = self.size(rule);
        let mut size = self.queue.len().min(most);
        let overdue = self.flushes || now >= oldest.after(self.longest(rule));
        if !overdue
            && rule != DueRule::OnlyFull
            && size < most
            && let Some(preferred) = self.policy.preferred.iter().rev().find(|preferred| **preferred <= size)
        {
            size = *preferred;
        }
        let batch = self.queue.take(size, self.policy.max_size);
        self.pace.cut(batch.len(), now);
        self.chosen = BatchDecision { size: most, waited: now.since(oldest) };
        batch
    }

    /// The decision on the last batch.
    pub fn chosen(&self) -> BatchDecision {
        self.chosen
    }

    /// The condition for the next batch. Hysteresis: a backlog ends once it has shrunk to half of the age that makes it
    /// one.
    fn rule(&mut self, now: Timestamp) -> DueRule {
        let wall = now.ahead(self.wall_ahead_ns);
        let threshold = if self.is_behind { self.policy.behind / 2 } else { self.policy.behind };
        if let Some((_, event_time)) = self.queue.oldest() {
            self.is_behind = wall.since(event_time) > threshold;
        }
        let is_time = || self.policy.static_between.is_some_and(|hours| hours.contains(wall));
        match self.policy.mode {
            BatchMode::Delay => DueRule::Full,
            BatchMode::Static => DueRule::OnlyFull,
            BatchMode::Hybrid if self.is_behind || is_time() => DueRule::OnlyFull,
            BatchMode::Dynamic if self.is_behind => DueRule::Full,
            BatchMode::Hybrid | BatchMode::Dynamic => DueRule::Worth,
        }
    }

    fn longest(&self, rule: DueRule) -> Duration {
        match rule {
            DueRule::OnlyFull => self.policy.static_max_delay,
            DueRule::Full | DueRule::Worth => self.policy.max_delay,
        }
    }

    fn size(&self, rule: DueRule) -> usize {
        let most = self.policy.max_size.max(1);
        match rule {
            DueRule::Full | DueRule::OnlyFull => most,
            DueRule::Worth => self.pace.size(most, self.policy.target_latency),
        }
    }
}

#[cfg(test)]
#[path = "batcher_tests.rs"]
mod tests;
