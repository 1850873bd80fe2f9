//! One stream: what every method needs of it, whatever it does with the samples.

use smallvec::SmallVec;

use super::event::Event;
use super::matching::{Arrival, Matching};
use super::policy::AlignPolicy;
use super::rules::Rules;
use crate::position::{InputId, PartitionId};
use crate::sample::StreamKey;

/// Stands for "never" among deadlines.
pub(super) const NEVER: i64 = i64::MAX;

/// What the aligner holds of one stream.
#[derive(Debug)]
pub(super) struct Stream<T> {
    pub(super) key: StreamKey,
    /// The deadline that the heap has for this stream: never later than what [`Self::deadline`] says.
    pub(super) scheduled: i64,
    clocks: SmallVec<[Clock; 3]>,
    matching: Matching<T>,
}

/// How far one input of a stream has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The latest event time seen; `i64::MIN` before the first.
    latest: i64,
    /// When it was last heard, in wall time; before its first sample, when the stream was.
    heard: i64,
    /// The partition that the last sample came from, if there was one.
    partition: Option<i32>,
}

/// What a method sees of its stream, and what time it is.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) rules: &'a Rules,
    pub(super) key: &'a StreamKey,
    clocks: &'a [Clock],
    /// Wall time.
    pub(super) now: i64,
}

impl View<'_> {
    /// No sample of this input with an earlier event time is expected any more.
    #[inline]
    pub(super) fn watermark(&self, input: usize) -> i64 {
        match (self.clocks.get(input), self.rules.inputs.get(input)) {
            (Some(clock), Some(rule)) => clock.latest.saturating_sub(rule.out_of_orderness),
            _ => i64::MIN,
        }
    }

    /// From when on this input is idle, in wall time, unless it is heard again.
    #[inline]
    pub(super) fn idle_at(&self, input: usize) -> i64 {
        match (self.clocks.get(input), self.rules.inputs.get(input)) {
            (Some(clock), Some(rule)) => clock.heard.saturating_add(rule.idle_timeout),
            _ => i64::MIN,
        }
    }
}

impl<T: Clone> Stream<T> {
    pub(super) fn new(key: StreamKey, policy: &AlignPolicy, now: i64) -> Self {
        let clock = Clock { latest: i64::MIN, heard: now, partition: None };
        Self {
            key,
            scheduled: NEVER,
            clocks: policy.inputs.iter().map(|_| clock).collect(),
            matching: Matching::new(policy),
        }
    }

    fn parts<'a>(&'a mut self, rules: &'a Rules, now: i64) -> (View<'a>, &'a mut Matching<T>) {
        (View { rules, key: &self.key, clocks: &self.clocks, now }, &mut self.matching)
    }

    /// Takes a sample. Returns when the wall clock has to be asked for it, at the latest.
    #[inline]
    pub(super) fn push(
        &mut self,
        rules: &Rules,
        partition: i32,
        arrival: Arrival<T>,
        now: i64,
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        if let Some(clock) = self.clocks.get_mut(arrival.input) {
            clock.latest = clock.latest.max(arrival.time);
            clock.heard = now;
            clock.partition = Some(partition);
        }
        let (view, matching) = self.parts(rules, now);
        match matching.push(&view, arrival, out) {
            NEVER if matching.is_empty() => self.forget_at(rules),
            deadline => deadline,
        }
    }

    /// Applies what time alone changes.
    pub(super) fn tick(&mut self, rules: &Rules, now: i64, out: &mut Vec<Event<T>>) {
        let (view, matching) = self.parts(rules, now);
        matching.tick(&view, out);
    }

    /// When the wall clock alone changes something next. It may be early, never late.
    pub(super) fn deadline(&mut self, rules: &Rules, now: i64) -> i64 {
        let (view, matching) = self.parts(rules, now);
        if matching.is_empty() { self.forget_at(rules) } else { matching.deadline(&view) }
    }

    /// Closes what is open, as when all inputs are idle, and releases the rest.
    pub(super) fn finish(&mut self, rules: &Rules, now: i64, out: &mut Vec<Event<T>>) {
        let (view, matching) = self.parts(rules, now);
        matching.finish(&view, out);
    }

    pub(super) fn is_forgettable(&self, rules: &Rules, now: i64) -> bool {
        self.matching.is_empty() && self.forget_at(rules) <= now
    }

    pub(super) fn held(&self) -> usize {
        self.matching.held()
    }

    /// The partitions that its samples came from.
    pub(super) fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        (0_u16..).zip(&self.clocks).filter_map(|(input, clock)| {
            clock.partition.map(|partition| PartitionId { input: InputId(input), partition })
        })
    }

    fn forget_at(&self, rules: &Rules) -> i64 {
        let heard = self.clocks.iter().map(|clock| clock.heard).max().unwrap_or(i64::MIN);
        heard.saturating_add(rules.forget_after)
    }
}
