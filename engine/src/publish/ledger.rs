//! What became of every record, and what may therefore be committed.
//!
//! A record *ends* once: when the alignment buffers have let it go and every bundle that contained it
//! has ended, or when it is dead-lettered or sent to the late topic and the broker has said so. The
//! position that a partition may commit is that of the first record that has not ended; which later ones have
//! ended stands in the metadata of the commit. So does which of the others a published result contains: they are read
//! again after a restart, and whatever becomes of them then, they are never told as late, dropped or dead.
//!
//! `track` is one partition, in the blocks of `block`; `restored` is what was known before a restart; `pressure` says
//! when intake must pause so that the metadata never becomes longer than the broker takes.

use rustc_hash::FxHashMap;

use crate::completion::{Progress, capacity};
use crate::fault::Fault;
use crate::position::{Commit, NextOffset, PartitionId, Position};

mod block;
mod metadata_pressure;
mod partition_tracker;
mod restored;

pub use metadata_pressure::{MetadataPressure, RECORDS_UNDER_WAY};
use partition_tracker::PartitionTracker;

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
    /// It is in a published result, maybe one of before a restart, and has ended.
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
    partitions: FxHashMap<PartitionId, PartitionTracker<T>>,
    metadata_limit: usize,
    /// Of the body of a map, in bytes.
    capacity: usize,
    under_way: usize,
    /// Whether what these tell has changed with a partition that came or went.
    crowded_changed: bool,
    withheld_changed: bool,
    /// Memory for a map.
    map: Progress,
}

impl<T> Ledger<T> {
    /// A ledger without partitions. `metadata_limit` is how long a commit's metadata may be, in characters: the broker's
    /// `offset.metadata.max.bytes`, 4096 unless configured.
    pub fn new(metadata_limit: usize) -> Self {
        Self::with_records_under_way(metadata_limit, RECORDS_UNDER_WAY)
    }

    /// As [`Self::new`], if so many records of a partition may still be consumed after it was told to be
    /// [full](MetadataPressure::Full).
    pub fn with_records_under_way(metadata_limit: usize, under_way: usize) -> Self {
        Self {
            partitions: FxHashMap::default(),
            metadata_limit,
            capacity: capacity(metadata_limit),
            under_way,
            crowded_changed: false,
            withheld_changed: false,
            map: Progress::default(),
        }
    }

    /// A partition is ours, read from `start`; what `progress` says of what comes then is what the metadata of the commit
    /// of `start` says. That stays part of every map: a record that had ended has ended when it is opened, and one that
    /// was published is. `assignment` tells this time from any before.
    pub fn assign(
        &mut self,
        partition: PartitionId,
        start: NextOffset,
        progress: &Progress,
        assignment: u32,
    ) {
        let before = self.partitions.insert(partition, PartitionTracker::new(start, progress, assignment));
        self.gone(before);
    }

    /// An assignment has ended: what is under way of it no longer counts. A later assignment of the partition
    /// that has begun already stays.
    pub fn revoke(&mut self, partition: PartitionId, assignment: u32) {
        if self.track(partition, assignment).is_some() {
            let before = self.partitions.remove(&partition);
            self.gone(before);
        }
    }

    fn gone(&mut self, track: Option<PartitionTracker<T>>) {
        self.crowded_changed |= track.as_ref().is_some_and(|track| track.pressure.is_some());
        self.withheld_changed |= track.is_some_and(|track| track.is_withheld);
    }

    /// A record was consumed. Offsets of a partition ascend; one that does not is known already.
    pub fn open(&mut self, position: Position, assignment: u32) {
        if let Some(track) = self.track(position.partition, assignment) {
            track.open(position.offset);
        }
    }

    /// The buffers have let a record go; `used` bundles contained it.
    pub fn release(&mut self, position: Position, assignment: u32, used: u32) -> Option<Verdict<T>> {
        self.track(position.partition, assignment)?.release(position.offset, used)
    }

    /// One bundle that contained a record has ended.
    pub fn settle(&mut self, position: Position, assignment: u32, how: Settled<T>) -> Option<Verdict<T>> {
        self.track(position.partition, assignment)?.settle(position.offset, how)
    }

    /// A record takes part in nothing, or in nothing more. If a published result contains it, maybe one of before a
    /// restart, it ends with that, and the answer is true. If not, it has to be told as late, dead or dropped, and
    /// ends by [`Self::end`] once that is done.
    pub fn end_if_published(&mut self, position: Position, assignment: u32) -> bool {
        let track = self.track(position.partition, assignment);
        track.is_some_and(|track| track.end_if_published(position.offset))
    }

    /// A record has ended by itself: its dead letter or late record was acknowledged, or it was dropped.
    pub fn end(&mut self, position: Position, assignment: u32) {
        if let Some(track) = self.track(position.partition, assignment) {
            track.end(position.offset);
        }
    }

    /// What may be committed, of those partitions where it has changed since last asked. One whose map does not fit
    /// the broker's limit is left out until it does, see [`Self::withheld`].
    pub fn committable(&mut self) -> Vec<Commit> {
        self.commits(|track| track.is_dirty)
    }

    /// What may be committed of all partitions, whether it was told before or not: for the last commit of all,
    /// or the last before partitions are let go. Those [withheld](Self::withheld) are left out too.
    pub fn positions(&mut self) -> Vec<Commit> {
        self.commits(|_| true)
    }

    fn commits(&mut self, which: impl Fn(&PartitionTracker<T>) -> bool) -> Vec<Commit> {
        let mut commits = Vec::new();
        for (partition, track) in self.partitions.iter_mut().filter(|(_, track)| which(track)) {
            let next = track.position();
            track.progress(&mut self.map);
            let metadata = self.map.encode(next, self.metadata_limit);
            track.is_dirty = metadata.is_none();
            self.withheld_changed |= track.is_withheld != metadata.is_none();
            track.is_withheld = metadata.is_none();
            commits.extend(metadata.map(|metadata| Commit { partition: *partition, next, metadata }));
        }
        commits
    }

    /// The partitions that are not committed, since their map does not fit the broker's limit, if these are others
    /// than when last asked. That a partition is there means that more records were consumed after it was
    /// [full](MetadataPressure::Full) than may be under way, or that most offsets of its topic are missing. Nothing is lost: its
    /// commit comes once enough has ended, and a restart until then does more again.
    pub fn withheld(&mut self) -> Option<Vec<PartitionId>> {
        if !std::mem::take(&mut self.withheld_changed) {
            return None;
        }
        let withheld = self.partitions.iter().filter(|(_, track)| track.is_withheld);
        let mut withheld: Vec<PartitionId> = withheld.map(|(partition, _)| *partition).collect();
        withheld.sort_unstable();
        Some(withheld)
    }

    /// The partitions to be read more slowly, or not at all, if that has changed since last asked. To be asked whenever
    /// records have been opened, and after records have ended; it costs little when nothing has changed.
    pub fn crowded(&mut self) -> Option<Vec<(PartitionId, MetadataPressure)>> {
        for track in self.partitions.values_mut().filter(|track| track.is_reshaped) {
            track.is_reshaped = false;
            let now = metadata_pressure::metadata_pressure(
                track.worst(self.under_way),
                self.capacity,
                track.pressure,
            );
            self.crowded_changed |= now != track.pressure;
            track.pressure = now;
        }
        if !std::mem::take(&mut self.crowded_changed) {
            return None;
        }
        let crowded = self.partitions.iter();
        let mut crowded: Vec<_> =
            crowded.filter_map(|(partition, track)| Some((*partition, track.pressure?))).collect();
        crowded.sort_unstable();
        Some(crowded)
    }

    /// What was told as committable was not committed: it is told again.
    pub fn tell_again(&mut self) {
        self.partitions.values_mut().for_each(|track| track.is_dirty = true);
    }

    /// Whether anything may be committed that has not been told.
    pub fn has_moved(&self) -> bool {
        self.partitions.values().any(|track| track.is_dirty)
    }

    /// Whether an assignment of a partition is the one that holds.
    pub fn holds(&self, partition: PartitionId, assignment: u32) -> bool {
        self.partitions.get(&partition).is_some_and(|track| track.assignment == assignment)
    }

    /// How many records have been consumed and have not ended.
    pub fn in_flight(&self) -> usize {
        self.partitions.values().map(PartitionTracker::in_flight).sum()
    }

    fn track(&mut self, partition: PartitionId, assignment: u32) -> Option<&mut PartitionTracker<T>> {
        self.partitions.get_mut(&partition).filter(|track| track.assignment == assignment)
    }
}

#[cfg(test)]
mod metadata_pressure_tests;
#[cfg(test)]
mod restart_tests;
#[cfg(test)]
mod tests;
