//! Where a sample stands among those of its input.

use crate::sample::TieBreak;

/// An event time, and what tells samples of that time apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) time: i64,
    pub(super) tie_break: TieBreak,
}

impl Moment {
    /// Before all others: the earliest time of all stands for none.
    pub(super) const NEVER: Self = Self { time: i64::MIN, tie_break: TieBreak::NONE };

    /// By how much a sample at `self` comes too late when one at `last` has gone: none if it does not.
    pub(super) fn late_after(self, last: Self) -> Option<u64> {
        let is_late = self <= last && last > Self::NEVER;
        let by = last.time.saturating_add(1).saturating_sub(self.time);
        is_late.then(|| u64::try_from(by).unwrap_or(1).max(1))
    }

    /// The earliest event time that one after it may have.
    pub(super) fn next(self) -> i64 {
        self.time.saturating_add(i64::from(!self.tie_break.is_some()))
    }
}
