//! What became of every record, and what may therefore be committed.
//!
//! A record *ends* once: when the alignment buffers have let it go and every bundle that contained it
//! has ended, or when it is dead-lettered or sent to the late topic and the broker has said so. The
//! position that a partition may commit is that of the first record that has not ended.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::fault::Fault;
use crate::position::{NextOffset, Offset, PartitionId, Position};

/// What became of one bundle, for one record that it contained.
#[derive(Debug)]
pub enum Settled<T> {
    /// Its result was acknowledged.
    Published,
    /// A configured policy dropped it.
    Dropped,
    /// It failed. The record is kept, to be dead-lettered unless another bundle publishes it.
    Failed(T, Fault),
}

/// What became of a record, when that is decided.
#[derive(Debug)]
pub enum Verdict<T> {
    /// It is in a published result and has ended.
    Published,
    /// It was in no bundle, or only in dropped ones, and has ended.
    Dropped {
        /// Whether a bundle contained it.
        used: bool,
    },
    /// No result contains it and at least one bundle failed: it must be dead-lettered. It ends by
    /// [`Ledger::end`], once that is done.
    DeadLetter(T, Fault),
}

/// The records in flight of all partitions, `T` being the record itself.
#[derive(Debug)]
pub struct Ledger<T> {
    partitions: FxHashMap<PartitionId, Track<T>>,
}

#[derive(Debug)]
struct Track<T> {
    assignment: u32,
    next: NextOffset,
    reported: NextOffset,
    entries: VecDeque<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    offset: Offset,
    /// Bundles that have ended.
    settled: u32,
    /// Bundles that there are in all, once the buffers have let the record go.
    used: Option<u32>,
    published: bool,
    failed: Option<(T, Fault)>,
    ended: bool,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { partitions: FxHashMap::default() }
    }
}

impl<T> Ledger<T> {
    /// A partition is ours, read from `start`. `assignment` tells this time from any before.
    pub fn assign(&mut self, partition: PartitionId, start: NextOffset, assignment: u32) {
        let track = Track { assignment, next: start, reported: start, entries: VecDeque::new() };
        self.partitions.insert(partition, track);
    }

    /// An assignment has ended: what is under way of it no longer counts. A later assignment of the partition
    /// that has begun already stays.
    pub fn revoke(&mut self, partition: PartitionId, assignment: u32) {
        if self.track(partition, assignment).is_some() {
            self.partitions.remove(&partition);
        }
    }

    /// A record was consumed. Offsets of a partition ascend.
    pub fn open(&mut self, position: Position, assignment: u32) {
        let Some(track) = self.track(position.partition, assignment) else { return };
        track.entries.push_back(Entry {
            offset: position.offset,
            settled: 0,
            used: None,
            published: false,
            failed: None,
            ended: false,
        });
    }

    /// The buffers have let a record go; `used` bundles contained it.
    pub fn release(&mut self, position: Position, assignment: u32, used: u32) -> Option<Verdict<T>> {
        let entry = self.entry(position, assignment)?;
        entry.used = Some(used);
        entry.verdict()
    }

    /// One bundle that contained a record has ended.
    pub fn settle(&mut self, position: Position, assignment: u32, how: Settled<T>) -> Option<Verdict<T>> {
        let entry = self.entry(position, assignment)?;
        entry.settled += 1;
        match how {
            Settled::Published => entry.published = true,
            Settled::Dropped => {}
            Settled::Failed(record, fault) => {
                entry.failed.get_or_insert((record, fault));
            }
        }
        entry.verdict()
    }

    /// A record has ended by itself: its dead letter or late record was acknowledged, or it was dropped.
    pub fn end(&mut self, position: Position, assignment: u32) {
        if let Some(entry) = self.entry(position, assignment) {
            entry.ended = true;
        }
    }

    /// The positions that may be committed, of those partitions where they have moved since last asked.
    pub fn committable(&mut self) -> Vec<(PartitionId, NextOffset)> {
        let mut moved = Vec::new();
        for (partition, track) in &mut self.partitions {
            while track.entries.front().is_some_and(|entry| entry.ended) {
                if let Some(entry) = track.entries.pop_front() {
                    track.next = entry.offset.next();
                }
            }
            if track.next > track.reported {
                track.reported = track.next;
                moved.push((*partition, track.next));
            }
        }
        moved
    }

    /// All positions that may be committed, whether they were told before or not: for the last commit of all,
    /// or the last before partitions are let go.
    pub fn positions(&mut self) -> Vec<(PartitionId, NextOffset)> {
        self.committable();
        self.partitions.iter().map(|(partition, track)| (*partition, track.next)).collect()
    }

    /// How many records have been consumed and have not ended, or wait behind one that has not.
    pub fn in_flight(&self) -> usize {
        self.partitions.values().map(|track| track.entries.len()).sum()
    }

    fn track(&mut self, partition: PartitionId, assignment: u32) -> Option<&mut Track<T>> {
        self.partitions.get_mut(&partition).filter(|track| track.assignment == assignment)
    }

    fn entry(&mut self, position: Position, assignment: u32) -> Option<&mut Entry<T>> {
        let entries = &mut self.track(position.partition, assignment)?.entries;
        // Offsets are contiguous but for compaction and transaction markers: the guess is mostly right.
        let first = entries.front()?.offset.0;
        let guess = usize::try_from(position.offset.0 - first).ok()?;
        let index = match entries.get(guess) {
            Some(entry) if entry.offset == position.offset => guess,
            _ => entries.binary_search_by_key(&position.offset, |entry| entry.offset).ok()?,
        };
        entries.get_mut(index)
    }
}

impl<T> Entry<T> {
    fn verdict(&mut self) -> Option<Verdict<T>> {
        if self.ended || self.used? > self.settled {
            return None;
        }
        if self.published {
            self.ended = true;
            self.failed = None;
            return Some(Verdict::Published);
        }
        match self.failed.take() {
            Some((record, fault)) => Some(Verdict::DeadLetter(record, fault)),
            None => {
                self.ended = true;
                Some(Verdict::Dropped { used: self.settled > 0 })
            }
        }
    }
}

#[cfg(test)]
mod tests;
