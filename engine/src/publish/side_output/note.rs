//! The note of which dead letters have been put back: the committed offset of a consumer group of its own, and the
//! map of a commit's metadata, as pipelines keep of their inputs.

use crate::completion::{CompletionMap, MapError, Progress};
use crate::position::{NextOffset, Offset};

/// The consumer group that keeps the note of a topic. Nobody joins it.
pub fn group(topic: &str) -> String {
    format!("{topic}.replay")
}

/// Which letters of one partition have been put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    done: CompletionMap,
}

impl Note {
    /// What was committed: the offset and its metadata.
    ///
    /// # Errors
    /// If the metadata is not a map of that offset.
    pub fn read(next: NextOffset, metadata: &str) -> Result<Self, MapError> {
        let mut done = Progress::decode(next, metadata)?.ended;
        done.insert(Offset(0), next);
        Ok(Self { done })
    }

    /// Whether the letter at an offset has been put back.
    pub fn contains(&self, letter: Offset) -> bool {
        self.done.contains(letter)
    }

    /// The offset after the last letter that has been put back.
    pub fn end(&self) -> Option<NextOffset> {
        self.done.end()
    }

    /// The letter at an offset has been put back. `following` is the offset of the one after it (what lies between is
    /// no record), or that after it if there is none.
    pub fn put_back(&mut self, letter: Offset, following: NextOffset) {
        self.done.insert(letter, NextOffset(following.0.max(letter.next().0)));
    }

    /// What is to be committed: an offset, and metadata of at most `limit` characters. `first` is the first record that
    /// the partition has; of what came before nothing needs to be known. `None` if it does not fit.
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
