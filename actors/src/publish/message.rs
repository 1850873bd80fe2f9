//! What the publish actor is told.

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

/// Partitions that are taken away.
#[derive(Debug)]
pub struct Revocation {
    /// Each with the number of the assignment that ends.
    pub partitions: Vec<(PartitionId, u32)>,
    /// Whether others may have them already.
    pub lost: bool,
    /// When the source told of it.
    pub told_at: Timestamp,
    /// How many sync actors are to tell of it.
    pub shards: usize,
}

/// What the publish actor takes.
pub enum PublishMessage {
    /// Partitions that are ours, where reading starts, what is known of what follows, and the number of the assignment.
    Assigned(Vec<(PartitionId, NextOffset, Arc<Progress>, u32)>),
    /// Records were consumed.
    Opened {
        /// Their partition.
        partition: PartitionId,
        /// Its assignment.
        assignment: u32,
        /// Their offsets, ascending.
        offsets: Vec<Offset>,
    },
    /// Records that cannot become samples, all of one assignment.
    Faults(u32, Vec<Faulty>),
    /// What a sync actor said.
    Aligned(Aligned),
    /// Samples that were put aside unread.
    Shed(Vec<Unread>),
    /// Jobs that have been through all steps.
    Finished(Vec<Arc<Job>>),
    /// Partitions that are no longer ours, with the number of the assignment that has ended; told by every sync
    /// actor.
    Revoked(Arc<Revocation>, Arc<Acknowledge>),
    /// A sync actor will say nothing more, of so many that were told to stop.
    ShardDone {
        /// How many.
        of: usize,
    },
    /// The sink has told what became of records.
    Deliveries,
    /// Say where every partition stands, if that is still to be committed.
    Positions(oneshot::Sender<Vec<Commit>>),
}

/// A record that cannot become a sample.
pub struct Faulty {
    /// The record.
    pub record: Record,
    /// The memory set aside for it until it is among the dead letters.
    pub reservation: Reservation,
    /// What is wrong with it.
    pub fault: Fault,
}

/// A sample that was put aside unread.
pub struct Unread {
    /// Its record.
    pub position: Position,
    /// The assignment that it was read under.
    pub assignment: u32,
    /// The rule that says so.
    pub why: Shed,
    /// The sample and its age in nanoseconds, if it is to be reported.
    pub report: Option<(Arc<Sample>, u64)>,
}

/// What a sync actor says at a time.
#[derive(Default)]
pub struct Aligned {
    /// Bundles that are on their way, in the order of their streams.
    pub admitted: Vec<(StreamKey, u64)>,
    /// Records that have left the buffers: position, assignment, and how many bundles contain it.
    pub released: Vec<(Position, u32, u32)>,
    /// Samples that came too late, and by how many nanoseconds.
    pub late: Vec<(Arc<Sample>, u64)>,
    /// Samples with the event time of another, or delivered twice.
    pub duplicates: Vec<Arc<Sample>>,
    /// Samples that had to make room, the bound that asked for it, and how many bundles contain them.
    pub evicted: Vec<(Arc<Sample>, Bound, u32)>,
    /// Samples that are at fault by themselves.
    pub outliers: Vec<(Arc<Sample>, Fault)>,
    /// Bundles that a policy drops.
    pub dropped: Vec<Bundle<Arc<Sample>>>,
    /// Bundles that a policy dead-letters.
    pub failed: Vec<(Bundle<Arc<Sample>>, Fault)>,
}

impl Aligned {
    /// Whether there is nothing in it.
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
