//! What a source of records says to the pipeline, and what the pipeline says back. Connectors
//! implement [`SourceControl`] and call a [`SourceSink`]; shells do the opposite.

use bytes::Bytes;

use crate::position::{Commit, NextOffset, PartitionId};
use crate::sample::Record;

/// Everything that a source has to say, in order.
pub enum SourceEvent {
    /// Records of one partition, ascending by offset.
    Records {
        /// The partition.
        partition: PartitionId,
        /// The records.
        records: Vec<Record>,
    },
    /// What the changelog says of partitions that are about to be ours: of each number, by key the latest value.
    Carried(Vec<(i32, Vec<(Bytes, Bytes)>)>),
    /// Partitions that are now ours.
    Assigned(Vec<Assigned>),
    /// Partitions that are no longer ours. The source waits (bounded) until `done` is dropped or called,
    /// so that what has ended can be committed first.
    Revoked {
        /// The partitions.
        partitions: Vec<PartitionId>,
        /// Whether the group has given them to others already, as it thought this member dead.
        lost: bool,
        /// Tells the source that it may let go.
        done: Acknowledge,
    },
    /// Records were deleted before they were read.
    DataLoss {
        /// The partition.
        partition: PartitionId,
        /// The first offset that is missing.
        from: NextOffset,
        /// The first offset that is there.
        to: NextOffset,
    },
    /// All records of a partition have been told, as far as there are any now. Told only by a source that was asked to.
    AtEnd(PartitionId),
    /// Where the partitions that are ours end, and how far behind that reading is.
    Ends(Vec<(PartitionId, End)>),
    /// How many partitions the topic of each input has now, by input.
    Partitions(Vec<i32>),
    /// Whether all inputs can be read. While one cannot, because brokers are away or a right is missing, no input counts as
    /// silent. Why it cannot is a [condition](crate::condition).
    Readable(bool),
    /// The source cannot go on; a new one may.
    Failed(String),
    /// The source cannot go on, and a new one could not either.
    Refused(String),
}

/// Where a partition ends, as far as the source has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The consumer lag: how many offsets that can be read have not been. None are left where but the markers of
    /// transactions, or records of aborted ones, follow.
    pub lag: i64,
    /// The offset up to which records can be read: no open transaction stands before it.
    pub stable: NextOffset,
    /// The offset behind the last record.
    pub high: NextOffset,
}

/// A partition that is now ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The partition.
    pub partition: PartitionId,
    /// Where reading starts: at what was committed, unless that has been deleted meanwhile.
    pub start: NextOffset,
    /// What was last committed, by whomever; none for a group that is new to the partition.
    pub committed: Option<Commit>,
}

/// Tells a source, when dropped, that it may go on.
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

/// Where a source puts its events. Called on the source's own thread; never blocks.
pub trait SourceSink: Send {
    /// Takes an event, or gives it back when there is no room: the source then keeps it, reads no
    /// more records, goes on polling so as to stay in its group, and offers the event again.
    ///
    /// # Errors
    /// The event itself, when there is no room for it.
    #[allow(clippy::result_large_err, reason = "the event is given back, not lost")]
    fn offer(&mut self, event: SourceEvent) -> Result<(), SourceEvent>;
}

/// Why partitions are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The budget of memory is used up, or would be: they are too far ahead of others in event time.
    Memory,
    /// Too much has ended out of order for a commit's metadata to say more of it.
    Map,
}

/// What the pipeline tells its source. Calls return at once.
pub trait SourceControl: Send + Sync {
    /// Stop delivering records of these partitions, and of no others but those that are paused for another reason.
    fn set_paused(&self, why: Pause, paused: Vec<PartitionId>);

    /// Commit these positions. Best effort: a later commit covers an earlier one that failed.
    fn commit(&self, commits: Vec<Commit>);

    /// Deliver nothing more. The group is left by [`Self::close`].
    fn stop(&self);

    /// Commit these positions synchronously, leave the group and end the source's thread. May block
    /// for up to the given time.
    ///
    /// # Errors
    /// When the last commit did not succeed: what was read since the one before is read again.
    fn close(&self, commits: Vec<Commit>, within: std::time::Duration) -> Result<(), String>;
}
