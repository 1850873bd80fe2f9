//! The place of a sample among those of its input.

use crate::sample::TieBreak;

/// An event time, and the tie-break among samples of that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) time: i64,
    pub(super) tie_break: TieBreak,
}

impl Moment {
    /// The moment before all others: the earliest time of all stands for none.
    pub(super) const NEVER: Self = Self { time: i64::MIN, tie_break: TieBreak::NONE };

    /// The time by which a sample at `self` is late after one at `last` has left: none if it is not.
    pub(super) fn late_after(self, last: Self) -> Option<u64> {
        let is_late = self <= last && last > Self::NEVER;
        let by = last.time.saturating_add(1).saturating_sub(self.time);
        is_late.then(|| u64::try_from(by).unwrap_or(1).max(1))
    }

    /// The earliest event time that a later one may have.
    pub(super) fn next(self) -> i64 {
        self.time.saturating_add(i64::from(!self.tie_break.is_some()))
    }
}

/// The earliest and the latest of several ranges.
pub(super) fn reach(each: impl Iterator<Item = Option<(i64, i64)>>) -> Option<(i64, i64)> {
    each.flatten().reduce(|one, two| (one.0.min(two.0), one.1.max(two.1)))
}
