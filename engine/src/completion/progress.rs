//! How far a partition has come: which of its records have ended, and which are in a published result already though
//! they have not.

use super::plan::plan;
use super::{CompletionMap, Run, Segment};
use crate::position::{NextOffset, Offset};

/// What the metadata of a commit says of records at or after its position.
///
/// A record is read again after a restart unless it has ended. One that a published result contains, and that waits for
/// results to come, must be known as such then: whatever becomes of it, it is not lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Have ended.
    pub ended: CompletionMap,
    /// Are in a published result and have not ended. What [`Self::ended`] has does not count here.
    pub published: CompletionMap,
}

/// What is said of the records of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Ended,
    Published,
}

/// A run, and what it is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) run: Run,
    pub(super) what: What,
}

impl Progress {
    /// Whether nothing is known of any record.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.published.is_empty()
    }

    /// The offset after the last record of which anything is known.
    pub fn end(&self) -> Option<NextOffset> {
        self.ended.end().max(self.published.end())
    }

    /// Forgets everything, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.ended.clear();
        self.published.clear();
    }

    /// How it is best written after `base`. What comes before does not count.
    pub(crate) fn segments(&self, base: NextOffset) -> Vec<Segment> {
        plan(&self.stretches(base), base.0)
    }

    /// All that it says of records from `base` on: ascending, and none overlaps another.
    pub(super) fn stretches(&self, base: NextOffset) -> Vec<Stretch> {
        let of = |run, what| Stretch { run, what };
        let mut all: Vec<Stretch> = from_on(&self.ended, base).map(|run| of(run, What::Ended)).collect();
        if !self.published.is_empty() {
            without(from_on(&self.published, base), self.ended.runs(), |run| {
                all.push(of(run, What::Published));
            });
            // Two rows that ascend: what the standard library's merge sort makes one of in linear time.
            all.sort_by_key(|stretch| stretch.run.from);
        }
        all
    }
}

/// The runs of a set, less what is before `base`.
fn from_on(set: &CompletionMap, base: NextOffset) -> impl Iterator<Item = Run> {
    let first = set.runs().partition_point(|run| run.to <= base);
    let runs = set.runs().get(first..).unwrap_or_default();
    runs.iter().map(move |run| Run { from: run.from.max(Offset(base.0)), to: run.to })
}

/// Runs less those of `others`; both ascend.
fn without(runs: impl Iterator<Item = Run>, others: &[Run], mut give: impl FnMut(Run)) {
    let mut others = others.iter().peekable();
    for Run { mut from, to } in runs {
        while let Some(other) = others.peek().filter(|other| other.from.0 < to.0) {
            if other.from > from {
                give(Run { from, to: NextOffset(other.from.0) });
            }
            from = from.max(Offset(other.to.0));
            if other.to > to {
                break;
            }
            others.next();
        }
        if from.0 < to.0 {
            give(Run { from, to });
        }
    }
}
