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
    /// The partitions.
    pub partitions: Vec<RevokedPartition>,
    /// True if the group took this member for dead, so that other processes may own the partitions already.
    pub lost: bool,
    /// The time at which the source reported the revocation.
    pub reported_at: Timestamp,
    /// The number of shards. Each reports the revocation to publish.
    pub shards: usize,
}

/// A revoked partition.
#[derive(Clone, Copy, Debug)]
pub struct RevokedPartition {
    /// The partition.
    pub partition: PartitionId,
    /// The number of the assignment that ends.
    pub assignment: u32,
}

/// A partition that the group has assigned to this process.
pub struct PartitionAssignment {
    /// The partition.
    pub partition: PartitionId,
    /// The start of reading.
    pub start: NextOffset,
    /// The completion map of the last commit.
    pub progress: Arc<Progress>,
    /// The number of the assignment.
    pub assignment: u32,
}

/// A message to the publish stage.
pub enum PublishMessage {
    /// Assigned partitions.
    Assigned(Vec<PartitionAssignment>),
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
    /// The sample to report, if the policy reports shed samples.
    pub report: Option<ShedReport>,
}

/// A shed sample to report.
pub struct ShedReport {
    /// The sample.
    pub sample: Arc<Sample>,
    /// Its age in nanoseconds.
    pub age_ns: u64,
}

/// A bundle on its way to the steps.
pub struct AdmittedBundle {
    /// Its stream.
    pub stream: StreamKey,
    /// Its number.
    pub id: u64,
}

/// A record that has left the buffers.
pub struct ReleasedRecord {
    /// Its position.
    pub position: Position,
    /// The assignment under which it was read.
    pub assignment: u32,
    /// The number of bundles that contain it.
    pub used: u32,
}

/// A sample that came too late.
pub struct LateSample {
    /// The sample.
    pub sample: Arc<Sample>,
    /// Its lateness in nanoseconds.
    pub by_ns: u64,
}

/// A sample that a bound evicted from the buffers.
pub struct EvictedSample {
    /// The sample.
    pub sample: Arc<Sample>,
    /// The bound.
    pub bound: Bound,
    /// The number of bundles that contain the sample.
    pub used: u32,
}

/// A sample that is faulty by itself.
pub struct FaultySample {
    /// The sample.
    pub sample: Arc<Sample>,
    /// The fault.
    pub fault: Fault,
}

/// A bundle that a policy dead-letters.
pub struct FailedBundle {
    /// The bundle.
    pub bundle: Bundle<Arc<Sample>>,
    /// The fault of all its samples.
    pub fault: Fault,
}

/// The outcomes that one shard reports at a time.
#[derive(Default)]
pub struct Aligned {
    /// Bundles on their way to the steps, in the order of their streams.
    pub admitted: Vec<AdmittedBundle>,
    /// Records that have left the buffers.
    pub released: Vec<ReleasedRecord>,
    /// Samples that came too late.
    pub late: Vec<LateSample>,
    /// Samples with the event time of another, or delivered twice.
    pub duplicates: Vec<Arc<Sample>>,
    /// Evicted samples.
    pub evicted: Vec<EvictedSample>,
    /// Samples that are faulty by themselves: timestamp outliers.
    pub outliers: Vec<FaultySample>,
    /// Bundles that a policy drops.
    pub dropped: Vec<Bundle<Arc<Sample>>>,
    /// Bundles that a policy dead-letters.
    pub failed: Vec<FailedBundle>,
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
