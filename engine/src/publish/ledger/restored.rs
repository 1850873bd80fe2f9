//! What had ended before a restart and has not been read again yet.

use std::collections::VecDeque;

use crate::completion::{Completion, Run};
use crate::position::{NextOffset, Offset};

/// The map that was read back, less what has been read again.
#[derive(Debug, Default)]
pub(super) struct Restored {
    runs: VecDeque<Run>,
    /// How the map was best written: where each stretch ends, and how many bytes it and all after it take at most.
    cost: VecDeque<(NextOffset, usize)>,
}

impl Restored {
    pub(super) fn new(start: NextOffset, ended: &Completion) -> Self {
        let runs: VecDeque<Run> = ended.runs().iter().filter(|run| run.to > start).copied().collect();
        let mut after = 0;
        let segments = ended.segments(start);
        let cost = segments.iter().rev().map(|segment| {
            after += segment.bytes;
            (segment.to, after)
        });
        let mut cost: VecDeque<_> = cost.collect();
        cost.make_contiguous().reverse();
        Self { runs, cost }
    }

    /// A record is read. Says whether it had ended before. Offsets ascend.
    pub(super) fn take(&mut self, offset: Offset) -> bool {
        while self.runs.front().is_some_and(|run| run.to.0 <= offset.0) {
            self.runs.pop_front();
        }
        while self.cost.front().is_some_and(|(to, _)| to.0 <= offset.0) {
            self.cost.pop_front();
        }
        self.runs.front().is_some_and(|run| run.from <= offset)
    }

    /// How many bytes the rest of the map takes at most, read up to `next`.
    pub(super) fn bytes(&self, next: NextOffset) -> usize {
        let Some((to, whole)) = self.cost.front() else { return 0 };
        // Of a bitmap that has been read in part only the rest counts.
        let part = usize::try_from(to.0.saturating_sub(next.0) / 8).unwrap_or(usize::MAX).saturating_add(16);
        let after = self.cost.get(1).map_or(0, |(_, bytes)| *bytes);
        (*whole).min(part.saturating_add(after))
    }

    /// The offset after the last record that had ended.
    pub(super) fn end(&self) -> Option<NextOffset> {
        self.runs.back().map(|run| run.to)
    }

    /// Where a position that has come to `next` can go on to, since all from there had ended.
    pub(super) fn through(&self, next: NextOffset) -> NextOffset {
        let met = self.runs.iter().take_while(|run| run.from.0 <= next.0).last();
        met.map_or(next, |run| run.to.max(next))
    }

    /// What is left, from `next` on.
    pub(super) fn runs(&self, next: NextOffset) -> impl Iterator<Item = (Offset, NextOffset)> {
        self.runs
            .iter()
            .filter(move |run| run.to > next)
            .map(move |run| (Offset(run.from.0.max(next.0)), run.to))
    }
}
