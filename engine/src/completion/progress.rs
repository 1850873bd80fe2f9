//! The progress of a partition: its records that have ended, and its records that are published and have not ended.

use super::map::{CompletionMap, Run};
use super::plan::{Segment, plan};
use super::stretch::{Stretch, StretchState};
use crate::position::{NextOffset, Offset};

/// The states of the records at or after a committed offset, as in the metadata of the commit.
///
/// After a restart a record is read again unless it has ended. A record can be in a published result and still wait
/// for further results. The restarted pipeline must know that: whatever its outcome, such a record is not lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The records that have ended.
    pub ended: CompletionMap,
    /// The records that are in a published result and have not ended. Records of [`Self::ended`] do not count here.
    pub published: CompletionMap,
}

impl Progress {
    /// True if the state of no record is known.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.published.is_empty()
    }

    /// The offset after the last record whose state is known.
    pub fn end(&self) -> Option<NextOffset> {
        self.ended.end().max(self.published.end())
    }

    /// Forgets everything, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.ended.clear();
        self.published.clear();
    }

    /// The cheapest encoding of the records from `base` on.
    pub(crate) fn segments(&self, base: NextOffset) -> Vec<Segment> {
        plan(&self.stretches(base), base.0)
    }

    /// The stretches of records from `base` on: ascending, and none overlaps another.
    pub(super) fn stretches(&self, base: NextOffset) -> Vec<Stretch> {
        let of = |run, state| Stretch { run, state };
        let mut all: Vec<Stretch> =
            from_on(&self.ended, base).map(|run| of(run, StretchState::Ended)).collect();
        if !self.published.is_empty() {
            without(from_on(&self.published, base), self.ended.runs(), |run| {
                all.push(of(run, StretchState::Published));
            });
            // The standard library's merge sort merges two ascending rows in linear time.
            all.sort_by_key(|stretch| stretch.run.from);
        }
        all
    }
}

/// The runs of a set, without the part before `base`.
fn from_on(set: &CompletionMap, base: NextOffset) -> impl Iterator<Item = Run> {
    let first = set.runs().partition_point(|run| run.to <= base);
    let runs = set.runs().get(first..).unwrap_or_default();
    runs.iter().map(move |run| Run { from: run.from.max(Offset(base.0)), to: run.to })
}

/// Gives the runs without the records of `others`; both ascend.
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
