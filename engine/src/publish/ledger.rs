//! The ledger: tracks the end of every record, and from that the offsets that may be committed.
//!
//! A record *ends* once. It ends when the alignment buffers have released it and every bundle that contained it has
//! ended. It also ends when the broker has acknowledged its dead letter or late record, or when a policy drops it. The
//! offset that a partition may commit is that of the first record that has not ended. The commit's metadata holds the
//! completion map: the later records that have ended, and those others that a published result contains. The latter are
//! read again after a restart, and are never reported as late, dropped or dead-lettered.
//!
//! `partition_tracker` is one partition, in the blocks of `block`; `restored` is the state before a restart.
//! `metadata_pressure` decides when intake must pause, so that the metadata does not become longer than the broker
//! accepts.

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

/// The end of one bundle, for one record that it contained.
#[derive(Debug)]
pub enum Settled<T> {
    /// The broker has acknowledged the result.
    Published,
    /// A configured policy dropped the bundle.
    Dropped,
    /// The bundle failed. The ledger keeps the record, to be dead-lettered unless another bundle publishes it.
    Failed(T, Fault),
}

/// The end of a record, once it is decided.
#[derive(Debug)]
pub enum RecordOutcome<T> {
    /// The record is in a published result, maybe one from before a restart, and has ended.
    Published,
    /// The record was in no bundle, or only in dropped bundles, and has ended.
    Dropped {
        /// True if a bundle contained the record.
        used: bool,
    },
    /// No result contains the record and at least one bundle failed: the publisher must dead-letter it. It ends by
    /// [`Ledger::end`] once that is done.
    DeadLetter(T, Fault),
}

/// The records in flight of all partitions. `T` is the record itself.
#[derive(Debug)]
pub struct Ledger<T> {
    partitions: FxHashMap<PartitionId, PartitionTracker<T>>,
    metadata_limit: usize,
    /// Capacity of the body of a completion map, in bytes.
    capacity: usize,
    /// The most records of a partition that may still be consumed after its intake was paused.
    under_way: usize,
    /// True if the answer of [`Self::metadata_pressure`] has changed since the last call.
    pressure_changed: bool,
    /// True if the answer of [`Self::withheld`] has changed since the last call.
    withheld_changed: bool,
    /// Reused memory for a completion map.
    map: Progress,
}

impl<T> Ledger<T> {
    /// A ledger without partitions. `metadata_limit` is the longest metadata of a commit, in characters: the broker's
    /// `offset.metadata.max.bytes`, 4096 unless configured.
    pub fn new(metadata_limit: usize) -> Self {
        Self::with_records_under_way(metadata_limit, RECORDS_UNDER_WAY)
    }

    /// As [`Self::new`]. Up to `under_way` records of a partition may still be consumed after the ledger reported it as
    /// [full](MetadataPressure::Full).
    pub fn with_records_under_way(metadata_limit: usize, under_way: usize) -> Self {
        Self {
            partitions: FxHashMap::default(),
            metadata_limit,
            capacity: capacity(metadata_limit),
            under_way,
            pressure_changed: false,
            withheld_changed: false,
            map: Progress::default(),
        }
    }

    /// Adds an assigned partition, read from `start`. `progress` is the completion map from the metadata of the commit
    /// of `start`, and stays part of every later map. Its ended records count as ended when they are read again, its
    /// published records as published. `assignment` distinguishes this assignment from earlier ones.
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

    /// Ends an assignment: its records in flight no longer count. A later assignment of the same partition that has
    /// begun already stays.
    pub fn revoke(&mut self, partition: PartitionId, assignment: u32) {
        if self.track(partition, assignment).is_some() {
            let before = self.partitions.remove(&partition);
            self.gone(before);
        }
    }

    fn gone(&mut self, track: Option<PartitionTracker<T>>) {
        self.pressure_changed |= track.as_ref().is_some_and(|track| track.pressure.is_some());
        self.withheld_changed |= track.is_some_and(|track| track.is_withheld);
    }

    /// Records that a record was consumed. Offsets of a partition ascend; a lower offset is known already.
    pub fn open(&mut self, position: Position, assignment: u32) {
        if let Some(track) = self.track(position.partition, assignment) {
            track.open(position.offset);
        }
    }

    /// Records that the buffers have released a record that `used` bundles contained. Returns its outcome if that decides
    /// it.
    pub fn release(&mut self, position: Position, assignment: u32, used: u32) -> Option<RecordOutcome<T>> {
        self.track(position.partition, assignment)?.release(position.offset, used)
    }

    /// Records that one bundle that contained a record has ended. Returns the record's outcome if that decides it.
    pub fn settle(
        &mut self,
        position: Position,
        assignment: u32,
        how: Settled<T>,
    ) -> Option<RecordOutcome<T>> {
        self.track(position.partition, assignment)?.settle(position.offset, how)
    }

    /// Ends a record that is in no further bundle, if a published result contains it, maybe one from before a restart;
    /// then returns true. If it returns false, the caller reports the record as late, dead-lettered or dropped, and
    /// then ends it by [`Self::end`].
    pub fn end_if_published(&mut self, position: Position, assignment: u32) -> bool {
        let track = self.track(position.partition, assignment);
        track.is_some_and(|track| track.end_if_published(position.offset))
    }

    /// Ends a record whose dead letter or late record was acknowledged, or that a policy dropped outside of all bundles.
    pub fn end(&mut self, position: Position, assignment: u32) {
        if let Some(track) = self.track(position.partition, assignment) {
            track.end(position.offset);
        }
    }

    /// Commits of those partitions whose offset or map has changed since the last call. A partition whose map exceeds the
    /// broker's limit is left out until the map fits; see [`Self::withheld`].
    pub fn committable(&mut self) -> Vec<Commit> {
        self.commits(|track| track.is_dirty)
    }

    /// Commits of all partitions, reported before or not: for the final commit, or for the last one before a
    /// revocation. [Withheld](Self::withheld) partitions are left out too.
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

    /// The partitions whose commit is withheld since their map exceeds the broker's limit, if these have changed since
    /// the last call. Either more records were consumed after the partition was [full](MetadataPressure::Full) than may
    /// be under way, or most offsets of its topic are missing. No record is lost: the commit follows once enough
    /// records have ended. A restart before that repeats more work.
    pub fn withheld(&mut self) -> Option<Vec<PartitionId>> {
        if !std::mem::take(&mut self.withheld_changed) {
            return None;
        }
        let withheld = self.partitions.iter().filter(|(_, track)| track.is_withheld);
        let mut withheld: Vec<PartitionId> = withheld.map(|(partition, _)| *partition).collect();
        withheld.sort_unstable();
        Some(withheld)
    }

    /// The partitions to read more slowly, or not at all, if these have changed since the last call. The caller asks
    /// whenever records were opened, and after records have ended; the call is cheap if nothing has changed.
    pub fn metadata_pressure(&mut self) -> Option<Vec<(PartitionId, MetadataPressure)>> {
        for track in self.partitions.values_mut().filter(|track| track.is_reshaped) {
            track.is_reshaped = false;
            let now = metadata_pressure::metadata_pressure(
                track.worst(self.under_way),
                self.capacity,
                track.pressure,
            );
            self.pressure_changed |= now != track.pressure;
            track.pressure = now;
        }
        if !std::mem::take(&mut self.pressure_changed) {
            return None;
        }
        let under_pressure = self.partitions.iter();
        let mut under_pressure: Vec<_> =
            under_pressure.filter_map(|(partition, track)| Some((*partition, track.pressure?))).collect();
        under_pressure.sort_unstable();
        Some(under_pressure)
    }

    /// Makes [`Self::committable`] report all commits again, since the transaction that contained them was aborted.
    pub fn report_again(&mut self) {
        self.partitions.values_mut().for_each(|track| track.is_dirty = true);
    }

    /// True if a commit has not been reported yet.
    pub fn has_moved(&self) -> bool {
        self.partitions.values().any(|track| track.is_dirty)
    }

    /// True if this assignment of a partition is the current one.
    pub fn holds(&self, partition: PartitionId, assignment: u32) -> bool {
        self.partitions.get(&partition).is_some_and(|track| track.assignment == assignment)
    }

    /// The number of records that were consumed and have not ended.
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
