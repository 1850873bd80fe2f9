//! Tracks the dead letters that have been put back. The note is the committed offset of a consumer group of its own,
//! and the completion map in the commit's metadata, as pipelines keep for their inputs.

use crate::completion::{CompletionMap, MapError, Progress};
use crate::position::{NextOffset, Offset};

/// The consumer group that stores the note of a topic. It has no members.
pub fn group(topic: &str) -> String {
    format!("{topic}.replay")
}

/// The dead letters of one partition that have been put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayNote {
    done: CompletionMap,
}

impl ReplayNote {
    /// Reads the committed offset and its metadata.
    ///
    /// # Errors
    /// If the metadata is not a map of that offset.
    pub fn read(next: NextOffset, metadata: &str) -> Result<Self, MapError> {
        let mut done = Progress::decode(next, metadata)?.ended;
        done.insert(Offset(0), next);
        Ok(Self { done })
    }

    /// True if the dead letter at an offset has been put back.
    pub fn contains(&self, dead_letter: Offset) -> bool {
        self.done.contains(dead_letter)
    }

    /// The offset after the last dead letter that has been put back.
    pub fn end(&self) -> Option<NextOffset> {
        self.done.end()
    }

    /// Records that the dead letter at an offset has been put back. `following` is the offset of the next record, or
    /// the offset after this one if there is none; the offsets between are no records.
    pub fn put_back(&mut self, dead_letter: Offset, following: NextOffset) {
        self.done.insert(dead_letter, NextOffset(following.0.max(dead_letter.next().0)));
    }

    /// The commit to make: an offset, and metadata of at most `limit` characters. `first` is the first record of the
    /// partition; earlier ones need no entry. `None` if the metadata does not fit.
    pub fn written(&self, first: Offset, limit: usize) -> Option<(NextOffset, String)> {
        let runs = self.done.runs();
        let reached = runs.iter().rev().find(|run| run.from <= first).map(|run| run.to);
        let next = reached.unwrap_or(NextOffset(0)).max(NextOffset(first.0));
        let done = Progress { ended: self.done.clone(), published: CompletionMap::default() };
        Some((next, done.encode(next, limit)?))
    }
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
