//! Messages to the publish stage.

use std::sync::Arc;

use lockstep_engine::align::{Bound, Bundle};
use lockstep_engine::budget::Reservation;
use lockstep_engine::completion::Progress;
use lockstep_engine::fault::Fault;
use lockstep_engine::infer::job::Job;
use lockstep_engine::ingest::shed::Shed;
use lockstep_engine::ingest::source::Acknowledge;
use lockstep_engine::position::{Commit, NextOffset, Offset, PartitionId, Position};
use lockstep_engine::sample::{Record, Sample, StreamKey};
use lockstep_engine::time::Timestamp;
use tokio::sync::oneshot;

/// Partitions that the group has revoked from this process.
#[derive(Debug)]
pub struct Revocation {
    /// The partitions, each with the number of the assignment that ends.
    pub partitions: Vec<(PartitionId, u32)>,
    /// True if the group took this member for dead, so that other processes may own the partitions already.
    pub lost: bool,
    /// The time at which the source reported the revocation.
    pub reported_at: Timestamp,
    /// The number of shards. Each reports the revocation to publish.
    pub shards: usize,
}

/// A message to the publish stage.
pub enum PublishMessage {
    /// Assigned partitions, each with the start of reading, the completion map of the last commit, and the assignment's number.
    Assigned(Vec<(PartitionId, NextOffset, Arc<Progress>, u32)>),
    /// Consumed records.
    Opened {
        /// The partition of the records.
        partition: PartitionId,
        /// The number of the partition's assignment.
        assignment: u32,
        /// The offsets, ascending.
        offsets: Vec<Offset>,
    },
    /// Records of one assignment that cannot become samples.
    Faults(u32, Vec<Faulty>),
    /// Outcomes of alignment in one shard.
    Aligned(Aligned),
    /// Samples that ingest shed.
    Shed(Vec<Unread>),
    /// Jobs that have been through all steps.
    Finished(Vec<Arc<Job>>),
    /// Revoked partitions, each with the number of the assignment that ended. Every shard sends it.
    Revoked(Arc<Revocation>, Arc<Acknowledge>),
    /// A shard sends nothing more.
    ShardDone {
        /// The number of shards that received the stop.
        of: usize,
    },
    /// The sink has put deliveries into the inbox.
    Deliveries,
    /// A request for the final commits of all partitions. With transactions there are none.
    Positions(oneshot::Sender<Vec<Commit>>),
}

/// A record that cannot become a sample.
pub struct Faulty {
    /// The record.
    pub record: Record,
    /// The memory reserved for the record until its dead letter is acknowledged.
    pub reservation: Reservation,
    /// The fault.
    pub fault: Fault,
}

/// A sample that ingest shed.
pub struct Unread {
    /// The position of the sample's record.
    pub position: Position,
    /// The assignment under which the record was read.
    pub assignment: u32,
    /// The rule that shed the sample.
    pub why: Shed,
    /// The sample and its age in nanoseconds, if the policy reports shed samples.
    pub report: Option<(Arc<Sample>, u64)>,
}

/// The outcomes that one shard reports at a time.
#[derive(Default)]
pub struct Aligned {
    /// Bundles on their way to the steps, in the order of their streams.
    pub admitted: Vec<(StreamKey, u64)>,
    /// Records that have left the buffers: position, assignment, and the number of bundles that contain the record.
    pub released: Vec<(Position, u32, u32)>,
    /// Samples that came too late, each with its lateness in nanoseconds.
    pub late: Vec<(Arc<Sample>, u64)>,
    /// Samples with the event time of another, or delivered twice.
    pub duplicates: Vec<Arc<Sample>>,
    /// Evicted samples, each with the bound that evicted it and the number of bundles that contain it.
    pub evicted: Vec<(Arc<Sample>, Bound, u32)>,
    /// Samples that are faulty by themselves: timestamp outliers.
    pub outliers: Vec<(Arc<Sample>, Fault)>,
    /// Bundles that a policy drops.
    pub dropped: Vec<Bundle<Arc<Sample>>>,
    /// Bundles that a policy dead-letters.
    pub failed: Vec<(Bundle<Arc<Sample>>, Fault)>,
}

impl Aligned {
    /// Returns true if the shard has nothing to report.
    pub fn is_empty(&self) -> bool {
        self.admitted.is_empty()
            && self.released.is_empty()
            && self.late.is_empty()
            && self.duplicates.is_empty()
            && self.evicted.is_empty()
            && self.outliers.is_empty()
            && self.dropped.is_empty()
            && self.failed.is_empty()
    }
}
