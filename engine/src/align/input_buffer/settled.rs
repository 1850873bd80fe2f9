//! The test that no future sample changes what a pivot finds among the samples of an input.

use super::super::cover::{cover, is_covered};
use super::super::rules::{Ask, Rule};
use super::InputBuffer;

impl<T> InputBuffer<T> {
    /// Returns true if samples from the watermark on can no longer change what a pivot at `t` finds.
    pub(in crate::align) fn settled(&self, rule: &Rule, watermark: i64, t: i64, reserved: &[u32]) -> bool {
        let beyond = |nearest: Option<(usize, i64)>, tolerance: i64| match nearest {
            Some((_, 0)) => true,
            Some((_, away)) => watermark >= t.saturating_add(away),
            None => watermark > t.saturating_add(tolerance),
        };
        match rule.ask {
            Ask::Window { before, after } => {
                let (from, to) = (t.saturating_sub(before), t.saturating_add(after));
                if watermark >= to || from >= to {
                    // A sample at `t` may still come, and be the held one if there is nothing.
                    return rule.hold.is_none() || watermark > t || {
                        let cover = cover(self.spans(), (from, from, to), rule.slack, |_| {});
                        let exact = self.last_at(t).is_some_and(|(_, time)| time == t);
                        cover.points || cover.lasting || exact
                    };
                }
                self.is_settled_before_its_end(rule, watermark, from, to)
            }
            Ask::Nearest { tolerance } => beyond(self.nearest(t, tolerance), tolerance),
            Ask::NearestOnce { tolerance } => beyond(self.nearest_free(t, tolerance, reserved), tolerance),
            Ask::Between { .. } => watermark > t,
            Ask::Latest { .. } => watermark > t || self.last_at(t).is_some_and(|(_, time)| time == t),
        }
    }

    /// Returns true if a window that ends after the watermark can no longer change. Future samples begin at the watermark or
    /// later, so only the rest of the window from there on has to be covered: a gap before it stays. Samples without
    /// length may come wherever some have come.
    fn is_settled_before_its_end(&self, rule: &Rule, watermark: i64, from: i64, to: i64) -> bool {
        let left = from.max(watermark);
        self.furthest >= to
            && is_covered(self.spans(), (from, left, to), rule.slack)
            && !self.spans().any(|(time, end)| time == end && (from..left).contains(&time))
    }
}
