//! The state, from before a restart, of records that have not been read again yet.

use std::collections::VecDeque;

use super::block::Before;
use crate::completion::{CompletionMap, Progress, Run};
use crate::position::{NextOffset, Offset};

/// The restored map, without the records read again since.
#[derive(Debug, Default)]
pub(super) struct RestoredMap {
    ended: RemainingRuns,
    published: RemainingRuns,
    /// The best encoding of the map: where each stretch ends, and how many bytes it and all later stretches take at
    /// most.
    cost: VecDeque<(NextOffset, usize)>,
}

/// The rest of one set.
#[derive(Debug, Default)]
struct RemainingRuns(VecDeque<Run>);

impl RemainingRuns {
    fn new(start: NextOffset, set: &CompletionMap) -> Self {
        Self(set.runs().iter().filter(|run| run.to > start).copied().collect())
    }

    /// Records that a record is read; true if the set has it. Offsets ascend.
    fn take(&mut self, offset: Offset) -> bool {
        while self.0.front().is_some_and(|run| run.to.0 <= offset.0) {
            self.0.pop_front();
        }
        self.0.front().is_some_and(|run| run.from <= offset)
    }

    /// The runs from `next` on.
    fn runs(&self, next: NextOffset) -> impl Iterator<Item = Run> {
        self.0
            .iter()
            .filter(move |run| run.to > next)
            .map(move |run| Run { from: Offset(run.from.0.max(next.0)), to: run.to })
    }

    fn end(&self) -> Option<NextOffset> {
        self.0.back().map(|run| run.to)
    }
}

impl RestoredMap {
    pub(super) fn new(start: NextOffset, progress: &Progress) -> Self {
        let mut after = 0;
        let segments = progress.segments(start);
        let cost = segments.iter().rev().map(|segment| {
            after += segment.bytes;
            (segment.to, after)
        });
        let mut cost: VecDeque<_> = cost.collect();
        cost.make_contiguous().reverse();
        let (ended, published) =
            (RemainingRuns::new(start, &progress.ended), RemainingRuns::new(start, &progress.published));
        Self { ended, published, cost }
    }

    /// Records that a record is read, and returns its restored state. Offsets ascend.
    pub(super) fn take(&mut self, offset: Offset) -> Before {
        while self.cost.front().is_some_and(|(to, _)| to.0 <= offset.0) {
            self.cost.pop_front();
        }
        match (self.ended.take(offset), self.published.take(offset)) {
            (true, _) => Before::Ended,
            (false, true) => Before::Published,
            (false, false) => Before::Nothing,
        }
    }

    /// The largest size in bytes of the rest of the map, read up to `next`.
    pub(super) fn bytes(&self, next: NextOffset) -> usize {
        let Some((to, whole)) = self.cost.front() else { return 0 };
        // In a map with a place for each offset, up to five of them to a byte, only unread offsets count.
        let part = usize::try_from(to.0.saturating_sub(next.0) / 5).unwrap_or(usize::MAX).saturating_add(16);
        let after = self.cost.get(1).map_or(0, |(_, bytes)| *bytes);
        (*whole).min(part.saturating_add(after))
    }

    /// The offset after the last record in the restored map.
    pub(super) fn end(&self) -> Option<NextOffset> {
        self.ended.end().max(self.published.end())
    }

    /// The offset to which `next` can advance, since all records from there on had ended.
    pub(super) fn through(&self, next: NextOffset) -> NextOffset {
        let met = self.ended.0.iter().take_while(|run| run.from.0 <= next.0).last();
        met.map_or(next, |run| run.to.max(next))
    }

    /// The remaining ended records, from `next` on.
    pub(super) fn ended(&self, next: NextOffset) -> impl Iterator<Item = Run> {
        self.ended.runs(next)
    }

    /// The remaining records that were published and had not ended, from `next` on.
    pub(super) fn published(&self, next: NextOffset) -> impl Iterator<Item = Run> {
        self.published.runs(next)
    }
}
