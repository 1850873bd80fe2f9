//! Which records at or after a committed position have ended, and which are in a published result though they have not:
//! what the metadata of a commit says beside the position.
//!
//! Both are a [`Progress`]. Its [`encode`](Progress::encode) and [`decode`](Progress::decode) are in
//! `completion/text.rs`, what they write byte by byte in `completion/body.rs`, and how the shortest way to write it is
//! found in `completion/plan.rs`.

use crate::position::{NextOffset, Offset};

mod body;
mod plan;
mod progress;
mod text;

pub(crate) use plan::Segment;
pub use progress::Progress;
pub use text::{MAX_BODY, MAX_TEXT, MapError};
pub(crate) use text::{capacity, varint_len};

/// A stretch of records of which the same is true. What is missing between them (compacted away, or the marker of a
/// transaction) counts as one of them.
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
    /// Whether the record at `offset` is among them.
    pub fn contains(&self, offset: Offset) -> bool {
        let after = self.runs.partition_point(|run| run.to.0 <= offset.0);
        self.runs.get(after).is_some_and(|run| run.from <= offset)
    }

    /// The stretches of it, ascending.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The offset after the last of them.
    pub fn end(&self) -> Option<NextOffset> {
        self.runs.last().map(|run| run.to)
    }

    /// Adds the records from `from` up to, not including, `to`. Constant time if they come after all others; an
    /// empty stretch changes nothing.
    pub fn insert(&mut self, from: Offset, to: NextOffset) {
        if to.0 <= from.0 {
            return;
        }
        match self.runs.last_mut() {
            Some(last) if from.0 > last.to.0 => self.runs.push(Run { from, to }),
            Some(last) if from >= last.from => last.to = last.to.max(to),
            None => self.runs.push(Run { from, to }),
            Some(_) => {
                // All that it overlaps or touches becomes one with it.
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

#[cfg(test)]
mod tests;
