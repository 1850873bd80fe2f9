//! The view of a stream that its method gets: the rules, the clocks and the time.

use super::clock::Clock;
use super::rules::Rules;
use crate::sample::StreamKey;

/// The deadline that never comes.
pub(super) const NEVER: i64 = i64::MAX;

/// A method's view of its stream, and the time.
#[derive(Clone, Copy)]
pub(super) struct StreamView<'a> {
    pub(super) rules: &'a Rules,
    pub(super) key: &'a StreamKey,
    pub(super) clocks: &'a [Clock],
    /// The first event time of its epoch; `i64::MIN` before that.
    pub(super) began: i64,
    /// Wall time.
    pub(super) now: i64,
}

impl StreamView<'_> {
    /// The watermark of an input: no sample with an earlier event time is expected.
    #[inline]
    pub(super) fn watermark(&self, input: usize) -> i64 {
        self.clocks.get(input).map_or(i64::MIN, |clock| clock.watermark)
    }

    /// The time from which on this input is idle, in wall time, unless a sample comes.
    #[inline]
    pub(super) fn idle_at(&self, input: usize) -> i64 {
        match (self.clocks.get(input), self.rules.inputs.get(input)) {
            (Some(clock), Some(rule)) => {
                let silent = clock.last_arrival.saturating_add(rule.idle_timeout);
                match rule.idle_behind {
                    Some(most) if self.is_behind(clock, most) => silent.min(self.now),
                    _ => silent,
                }
            }
            _ => i64::MIN,
        }
    }

    /// Returns true if this input is idle on time: without the allowed lateness.
    pub(super) fn is_idle_on_time(&self, input: usize) -> bool {
        let (Some(clock), Some(rule)) = (self.clocks.get(input), self.rules.inputs.get(input)) else {
            return true;
        };
        let lateness = self.rules.lateness;
        let silent = clock.last_arrival.saturating_add(rule.idle_timeout).saturating_sub(lateness);
        silent <= self.now
            || rule.idle_behind.is_some_and(|most| self.is_behind(clock, most.saturating_sub(lateness)))
    }

    /// Returns true if another input is further ahead than that, in event time.
    #[cold]
    fn is_behind(&self, clock: &Clock, most: i64) -> bool {
        let furthest = self.clocks.iter().map(|clock| clock.latest).max().unwrap_or(i64::MIN);
        furthest.saturating_sub(clock.latest.max(self.began)) > most
    }
}
