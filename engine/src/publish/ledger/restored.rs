//! What was known before a restart of records that have not been read again yet.

use std::collections::VecDeque;

use super::block::Before;
use crate::completion::{CompletionMap, Progress, Run};
use crate::position::{NextOffset, Offset};

/// The map that was read back, less what has been read again.
#[derive(Debug, Default)]
pub(super) struct Restored {
    ended: Left,
    published: Left,
    /// How the map was best written: where each stretch ends, and how many bytes it and all after it take at most.
    cost: VecDeque<(NextOffset, usize)>,
}

/// What is left of one set.
#[derive(Debug, Default)]
struct Left(VecDeque<Run>);

impl Left {
    fn new(start: NextOffset, set: &CompletionMap) -> Self {
        Self(set.runs().iter().filter(|run| run.to > start).copied().collect())
    }

    /// A record is read. Says whether it is one of them. Offsets ascend.
    fn take(&mut self, offset: Offset) -> bool {
        while self.0.front().is_some_and(|run| run.to.0 <= offset.0) {
            self.0.pop_front();
        }
        self.0.front().is_some_and(|run| run.from <= offset)
    }

    /// From `next` on.
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

impl Restored {
    pub(super) fn new(start: NextOffset, progress: &Progress) -> Self {
        let mut after = 0;
        let segments = progress.segments(start);
        let cost = segments.iter().rev().map(|segment| {
            after += segment.bytes;
            (segment.to, after)
        });
        let mut cost: VecDeque<_> = cost.collect();
        cost.make_contiguous().reverse();
        let (ended, published) = (Left::new(start, &progress.ended), Left::new(start, &progress.published));
        Self { ended, published, cost }
    }

    /// A record is read. Says what was known of it. Offsets ascend.
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

    /// How many bytes the rest of the map takes at most, read up to `next`.
    pub(super) fn bytes(&self, next: NextOffset) -> usize {
        let Some((to, whole)) = self.cost.front() else { return 0 };
        // Of a map with a place for each offset, which five may share a byte of, only what has not been read counts.
        let part = usize::try_from(to.0.saturating_sub(next.0) / 5).unwrap_or(usize::MAX).saturating_add(16);
        let after = self.cost.get(1).map_or(0, |(_, bytes)| *bytes);
        (*whole).min(part.saturating_add(after))
    }

    /// The offset after the last record of which anything was known.
    pub(super) fn end(&self) -> Option<NextOffset> {
        self.ended.end().max(self.published.end())
    }

    /// Where a position that has come to `next` can go on to, since all from there had ended.
    pub(super) fn through(&self, next: NextOffset) -> NextOffset {
        let met = self.ended.0.iter().take_while(|run| run.from.0 <= next.0).last();
        met.map_or(next, |run| run.to.max(next))
    }

    /// What is left of what had ended, from `next` on.
    pub(super) fn ended(&self, next: NextOffset) -> impl Iterator<Item = Run> {
        self.ended.runs(next)
    }

    /// What is left of what was published and had not ended, from `next` on.
    pub(super) fn published(&self, next: NextOffset) -> impl Iterator<Item = Run> {
        self.published.runs(next)
    }
}
