//! Sets of records: runs of offsets.

use crate::position::{NextOffset, Offset};

/// A range of offsets whose records are in the same state. Offsets without a record (compacted away, or the marker of
/// a transaction) count as part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub from: Offset,
    /// The one after the last; greater than `from`.
    pub to: NextOffset,
}

/// A set of records, such as those that have ended: runs that ascend and neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompletionMap {
    runs: Vec<Run>,
}

impl CompletionMap {
    /// True if the set contains the record at `offset`.
    pub fn contains(&self, offset: Offset) -> bool {
        let after = self.runs.partition_point(|run| run.to.0 <= offset.0);
        self.runs.get(after).is_some_and(|run| run.from <= offset)
    }

    /// Its runs, ascending.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// True if the set is empty.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The offset after the last record of the set.
    pub fn end(&self) -> Option<NextOffset> {
        self.runs.last().map(|run| run.to)
    }

    /// Adds the records from `from` up to, not including, `to`. Takes constant time if they come after all others; an
    /// empty range changes nothing.
    pub fn insert(&mut self, from: Offset, to: NextOffset) {
        if to.0 <= from.0 {
            return;
        }
        match self.runs.last_mut() {
            Some(last) if from.0 > last.to.0 => self.runs.push(Run { from, to }),
            Some(last) if from >= last.from => last.to = last.to.max(to),
            None => self.runs.push(Run { from, to }),
            Some(_) => {
                // All runs that it overlaps or touches merge with it.
                let first = self.runs.partition_point(|run| run.to.0 < from.0);
                let after = self.runs.partition_point(|run| run.from.0 <= to.0);
                let met = self.runs.get(first..after).unwrap_or_default();
                let from = met.first().map_or(from, |run| run.from.min(from));
                let to = met.last().map_or(to, |run| run.to.max(to));
                self.runs.splice(first..after, [Run { from, to }]);
            }
        }
    }

    /// Forgets everything, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
    }
}
