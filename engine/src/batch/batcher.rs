//! The queue of one model: when a batch goes, and what is in it.
//!
//! A batch is cut by whoever has reserved a slot for it, as late as possible: [`Batcher::go_at`] says when one
//! should go, [`Batcher::cut`] takes it.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::FxHashSet;

use crate::batch::pace::Pace;
use crate::batch::{BatchMode, BatchPolicy, Costs};
use crate::sample::StreamKey;
use crate::time::Timestamp;

/// What can be put into a batch.
pub trait Batchable {
    /// The stream that it belongs to.
    fn stream(&self) -> &StreamKey;

    /// When it happened.
    fn event_time(&self) -> Timestamp;
}

/// The queue of one model, in the order of arrival.
#[derive(Debug)]
pub struct Batcher<T> {
    policy: BatchPolicy,
    /// A model that carries state takes one bundle of a stream at a time.
    one_per_stream: bool,
    queue: VecDeque<(Timestamp, T)>,
    pace: Pace,
    is_behind: bool,
    /// See [`Self::set_wall_ahead`].
    wall_ahead_ns: i64,
    flushes: bool,
    chosen: Chosen,
}

/// What was decided of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The most bundles that it was to have.
    pub size: usize,
    /// How long its oldest bundle had waited.
    pub waited: Duration,
}

/// What a batch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Until it is full, or has a preferred size.
    Full,
    /// The same, for longer and without preferred sizes.
    OnlyFull,
    /// As long as waiting pays.
    Worth,
}

impl<T: Batchable> Batcher<T> {
    /// An empty queue that so many instances serve. With `one_per_stream` no batch has two bundles of a stream.
    pub fn new(policy: BatchPolicy, instances: usize, one_per_stream: bool) -> Self {
        Self {
            policy,
            one_per_stream,
            queue: VecDeque::new(),
            pace: Pace::new(instances),
            is_behind: false,
            wall_ahead_ns: 0,
            flushes: false,
            chosen: Chosen::default(),
        }
    }

    /// From here on batches have at most so many bundles, if they had more; at least one.
    pub fn limit(&mut self, most: usize) {
        self.policy.max_size = self.policy.max_size.min(most).max(1);
        self.policy.preferred.retain(|size| *size <= most);
    }

    /// So many instances serve the queue from here on.
    pub fn serve(&mut self, instances: usize) {
        self.pace.serve(instances);
    }

    /// Takes those out that wait and that `moves` picks, each with the time of its arrival, in that order.
    pub fn take_out(&mut self, moves: impl Fn(&T) -> bool) -> Vec<(Timestamp, T)> {
        let (mut out, mut rest) = (Vec::new(), VecDeque::new());
        for (since, item) in std::mem::take(&mut self.queue) {
            if moves(&item) {
                out.push((since, item));
            } else {
                rest.push_back((since, item));
            }
        }
        self.queue = rest;
        out
    }

    /// Puts in what was taken out of another queue, where it would be had it arrived here. Items with the same time of
    /// arrival stay in their order.
    pub fn put_in(&mut self, items: Vec<(Timestamp, T)>) {
        self.queue.extend(items);
        self.queue.make_contiguous().sort_by_key(|(since, _)| *since);
    }

    /// What batches have cost so far.
    pub fn learn(&mut self, costs: Costs) {
        self.pace.learn(costs);
    }

    /// Nothing is waited for any more, as the end is near.
    pub fn flush(&mut self) {
        self.flushes = true;
    }

    /// Adds a bundle at the end.
    pub fn push(&mut self, item: T, now: Timestamp) {
        self.pace.arrived(now);
        self.queue.push_back((now, item));
    }

    /// The wall clock, by which event times and hours of the day are told, is so far ahead of the one that `now` is of, in
    /// nanoseconds.
    pub fn set_wall_ahead(&mut self, by_ns: i64) {
        self.wall_ahead_ns = by_ns;
    }

    /// Bundles that wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// When a batch should go if nothing else arrives and no batch ends; not later than `now` for at once, none when
    /// nothing waits. So many batches were cut and have not ended. Never later than the longest wait of the oldest bundle,
    /// and to be asked again at each arrival, at each end of a batch, and at the time that it says.
    pub fn go_at(&mut self, now: Timestamp, under_way: usize) -> Option<Timestamp> {
        self.pace.under_way(under_way);
        let oldest = self.queue.front()?.0;
        let rule = self.rule(now);
        let reaches = |size: &usize| self.queue.len() >= *size;
        let is_preferred = rule != Rule::OnlyFull && self.policy.preferred.first().is_some_and(reaches);
        if self.flushes || is_preferred || reaches(&self.size(rule)) {
            return Some(now);
        }
        let latest = oldest.after(self.longest(rule));
        Some(match rule {
            Rule::Full | Rule::OnlyFull => latest,
            Rule::Worth => {
                latest.min(self.pace.go_at(self.queue.len(), oldest, self.policy.target_latency, now))
            }
        })
    }

    /// Takes a batch in the order of arrival: as many as go into one, or, while nobody has waited too
    /// long, the largest preferred size that there is. Empty only when nothing waits.
    pub fn cut(&mut self, now: Timestamp) -> Vec<T> {
        let Some((oldest, _)) = self.queue.front() else { return Vec::new() };
        let oldest = *oldest;
        let rule = self.rule(now);
        let most = self.size(rule);
        let mut size = self.queue.len().min(most);
        let overdue = self.flushes || now >= oldest.after(self.longest(rule));
        if !overdue
            && rule != Rule::OnlyFull
            && size < most
            && let Some(preferred) = self.policy.preferred.iter().rev().find(|preferred| **preferred <= size)
        {
            size = *preferred;
        }
        let batch = self.take(size);
        self.pace.cut(batch.len(), now);
        self.chosen = Chosen { size: most, waited: now.since(oldest) };
        batch
    }

    /// What was decided of the batch that was cut last.
    pub fn chosen(&self) -> Chosen {
        self.chosen
    }

    /// What the next batch waits for. A backlog has to shrink to half of what makes it one before it is none.
    fn rule(&mut self, now: Timestamp) -> Rule {
        let wall = now.ahead(self.wall_ahead_ns);
        let threshold = if self.is_behind { self.policy.behind / 2 } else { self.policy.behind };
        if let Some((_, item)) = self.queue.front() {
            self.is_behind = wall.since(item.event_time()) > threshold;
        }
        let is_time = || self.policy.static_between.is_some_and(|hours| hours.contains(wall));
        match self.policy.mode {
            BatchMode::Delay => Rule::Full,
            BatchMode::Static => Rule::OnlyFull,
            BatchMode::Hybrid if self.is_behind || is_time() => Rule::OnlyFull,
            BatchMode::Dynamic if self.is_behind => Rule::Full,
            BatchMode::Hybrid | BatchMode::Dynamic => Rule::Worth,
        }
    }

    fn longest(&self, rule: Rule) -> Duration {
        match rule {
            Rule::OnlyFull => self.policy.static_max_delay,
            Rule::Full | Rule::Worth => self.policy.max_delay,
        }
    }

    fn size(&self, rule: Rule) -> usize {
        let most = self.policy.max_size.max(1);
        match rule {
            Rule::Full | Rule::OnlyFull => most,
            Rule::Worth => self.pace.size(most, self.policy.target_latency),
        }
    }

    fn take(&mut self, size: usize) -> Vec<T> {
        if !self.one_per_stream {
            return self.queue.drain(..size).map(|(_, item)| item).collect();
        }
        let mut streams = FxHashSet::default();
        let mut batch = Vec::with_capacity(size);
        let mut rest = VecDeque::new();
        while let Some((since, item)) = self.queue.pop_front() {
            if batch.len() < size && streams.insert(item.stream().clone()) {
                batch.push(item);
            } else {
                rest.push_back((since, item));
                if batch.len() == size {
                    rest.append(&mut self.queue);
                }
            }
        }
        self.queue = rest;
        batch
    }
}

#[cfg(test)]
#[path = "batcher_tests.rs"]
mod tests;
