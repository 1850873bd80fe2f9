//! The protocol between a source of records and the pipeline. Connectors implement [`SourceControl`] and call a
//! [`SourceSink`]; actors do the opposite.

use bytes::Bytes;

use crate::position::{Commit, NextOffset, PartitionId};
use crate::sample::Record;

/// The events of a source, in order.
pub enum SourceEvent {
    /// Records of one partition, ascending by offset.
    Records {
        /// The partition.
        partition: PartitionId,
        /// The records.
        records: Vec<Record>,
    },
    /// The stream state in the changelog of partitions that are about to be assigned: for each partition number, the
    /// latest value of each key.
    StreamStates(Vec<(i32, Vec<(Bytes, Bytes)>)>),
    /// Partitions that have been assigned.
    Assigned(Vec<Assigned>),
    /// Partitions that are being revoked. The source waits, for a bounded time, until `done` is dropped, so that the
    /// offsets of ended records can be committed first.
    Revoked {
        /// The partitions.
        partitions: Vec<PartitionId>,
        /// True if the group has already assigned them to other members, because it considered this member dead.
        lost: bool,
        /// Tells the source that it may give up the partitions.
        done: Acknowledge,
    },
    /// Records were deleted before they were read.
    DataLoss {
        /// The partition.
        partition: PartitionId,
        /// The first offset that is missing.
        from: NextOffset,
        /// The first offset that still exists.
        to: NextOffset,
    },
    /// All present records of a partition have been delivered. Only a source that was configured so reports it.
    AtEnd(PartitionId),
    /// The ends of the assigned partitions, and their consumer lag.
    Ends(Vec<(PartitionId, PartitionEnd)>),
    /// The present number of partitions of each input's topic, by input.
    Partitions(Vec<i32>),
    /// True if all inputs can be read. While one cannot, because brokers are unreachable or a permission is missing,
    /// no input counts as silent. The cause is a [condition](crate::condition).
    Readable(bool),
    /// The source has failed; a new one may succeed.
    Failed(String),
    /// The source has failed, and a new one would fail as well.
    Refused(String),
}

/// The end of a partition, as last reported by the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionEnd {
    /// The consumer lag: the number of readable offsets that have not been read. It is 0 if only the markers of
    /// transactions, or records of aborted ones, follow.
    pub lag: i64,
    /// The last stable offset: no open transaction begins before it, and records can be read up to it.
    pub stable: NextOffset,
    /// The offset after the last record.
    pub high: NextOffset,
}

/// A partition that has been assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The partition.
    pub partition: PartitionId,
    /// The offset at which reading starts: the committed one, unless it has been deleted meanwhile.
    pub start: NextOffset,
    /// The last commit of any member; none for a group that is new to the partition.
    pub committed: Option<Commit>,
}

/// Tells a source, when dropped, that it may continue.
pub struct Acknowledge(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Acknowledge {
    /// Calls `then` once, when dropped.
    pub fn new(then: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(then)))
    }
}

impl Drop for Acknowledge {
    fn drop(&mut self) {
        if let Some(then) = self.0.take() {
            then();
        }
    }
}

/// The receiver of a source's events. Called on the source's own thread; never blocks.
pub trait SourceSink: Send {
    /// Takes an event, or returns it when the mailbox is full. The source then keeps it and reads no more records. It
    /// goes on polling so as to stay in its group, and offers the event again.
    ///
    /// # Errors
    /// The event itself, when the mailbox is full.
    #[allow(clippy::result_large_err, reason = "the event is given back, not lost")]
    fn offer(&mut self, event: SourceEvent) -> Result<(), SourceEvent>;
}

/// The reason why partitions are paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The byte budget is used up, or the partitions are too far ahead of others in event time.
    Memory,
    /// Too many records have ended out of order: the completion map would exceed the limit of a commit's metadata.
    Map,
}

/// The pipeline's commands to its source. Calls return at once.
pub trait SourceControl: Send + Sync {
    /// Pauses exactly these partitions for this reason. Partitions paused for another reason stay paused.
    fn set_paused(&self, why: Pause, paused: Vec<PartitionId>);

    /// Commits these offsets. Best effort: a later commit covers an earlier one that failed.
    fn commit(&self, commits: Vec<Commit>);

    /// Stops deliveries. The member leaves its group by [`Self::close`].
    fn stop(&self);

    /// Commits these offsets synchronously, leaves the group and ends the source's thread. May block for up to the
    /// given time.
    ///
    /// # Errors
    /// When the last commit fails: the records since the commit before it are read again.
    fn close(&self, commits: Vec<Commit>, within: std::time::Duration) -> Result<(), String>;
}
