//! The search of a pivot among the samples of an input.

use super::super::cover::{Slack, covering};
use super::super::rules::{Ask, Rule};
use super::{FoundSamples, InputBuffer};

impl<T> InputBuffer<T> {
    /// The samples that a pivot at `t` finds now. `before` is the previous pivot, `i64::MIN` if there is none. Places in
    /// `reserved` count as taken.
    pub(in crate::align) fn find(&self, rule: &Rule, before: i64, t: i64, reserved: &[u32]) -> FoundSamples {
        let mut found = self.find_asked(rule, before, t, reserved);
        if let Some(max_age) = rule.hold
            && found.places.is_empty()
            && let Some((_, last)) = self.last_at(t).filter(|(_, time)| t.saturating_sub(*time) <= max_age)
        {
            // Of equal times the first to arrive.
            found.push(self.entries.partition_point(|entry| entry.time < last));
            found.skew_ns = Some(last.saturating_sub(t));
            found.held = true;
        }
        found
    }

    fn find_asked(&self, rule: &Rule, before: i64, t: i64, reserved: &[u32]) -> FoundSamples {
        let index = match rule.ask {
            Ask::Window { before, after } => {
                return self.find_window(t.saturating_sub(before), t.saturating_add(after), rule.slack);
            }
            Ask::Between { max_age } => {
                let from =
                    if before > i64::MIN { before.saturating_add(1) } else { t.saturating_sub(max_age) };
                return self.find_between(from, t);
            }
            Ask::Nearest { tolerance } => self.nearest(t, tolerance).map(|(index, _)| index),
            Ask::NearestOnce { tolerance } => {
                self.nearest_free(t, tolerance, reserved).map(|(index, _)| index)
            }
            Ask::Latest { max_age } => {
                self.last_at(t).filter(|(_, time)| t.saturating_sub(*time) <= max_age).map(|(index, _)| index)
            }
        };
        let mut found = FoundSamples::empty(t, t);
        if let Some((index, entry)) = index.and_then(|index| Some((index, self.entries.get(index)?))) {
            found.push(index);
            found.skew_ns = Some(entry.time.saturating_sub(t));
        }
        found
    }

    fn find_between(&self, from: i64, t: i64) -> FoundSamples {
        let mut found = FoundSamples::empty(from, t.saturating_add(1));
        let first = self.entries.partition_point(|entry| entry.time < from);
        for index in first..self.entries.len() {
            let Some(entry) = self.entries.get(index).filter(|entry| entry.time <= t) else { break };
            found.push(index);
            found.skew_ns.get_or_insert(entry.time.saturating_sub(t));
        }
        found
    }

    fn find_window(&self, from: i64, to: i64, slack: Slack) -> FoundSamples {
        let mut found = FoundSamples::empty(from, to);
        (found.places, found.coverage) = covering(self.spans(), from, to, slack);
        found.skew_ns = (!found.places.is_empty()).then_some(0);
        found
    }
}
