//! What is on its way to a topic.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::fault::Fault;
use lockstep_engine::infer::job::Job;
use lockstep_engine::position::{PartitionId, Position};
use lockstep_engine::publish::letters::LeftOut;
use lockstep_engine::publish::result::Timing;
use lockstep_engine::publish::sink::OutRecord;
use lockstep_engine::sample::Sample;
use lockstep_engine::time::Timestamp;

use super::letter::Letter;

/// A record on its way. It can be made again, should the broker not take it the first time.
pub(super) struct Pending {
    pub(super) what: Outbound,
    /// It has been told as delivered, in a transaction that did not count in the end.
    pub(super) told: bool,
}

/// What is made into a record.
pub(super) enum Outbound {
    Result {
        job: Arc<Job>,
        timing: Timing,
        sent_at: Timestamp,
    },
    /// Apart, as there are few: what waits for the broker takes as much for each as the largest of these.
    Dead(Box<Dead>),
    LeftOut {
        sample: Arc<Sample>,
        topic: String,
        why: LeftOut,
    },
    /// What a stream carries on, read of this partition under this assignment.
    Carried {
        record: Box<OutRecord>,
        partition: PartitionId,
        assignment: u32,
    },
}

/// A record that is made into a dead letter.
pub(super) struct Dead {
    pub(super) letter: Letter,
    pub(super) topic: String,
    pub(super) fault: Fault,
    pub(super) without_payload: bool,
}

/// What has come to its end.
pub(super) enum Delivered {
    /// A result was acknowledged.
    Result {
        /// The job.
        job: Arc<Job>,
        /// Where its time went.
        timing: Timing,
        /// From handing it over to the acknowledgement.
        publish: Duration,
    },
    /// A result that the broker will never take.
    Poison {
        /// The job.
        job: Arc<Job>,
        /// Why.
        fault: Fault,
    },
    /// A dead letter, or a late, evicted or shed record, was acknowledged.
    Letter {
        /// The record that it was.
        position: Position,
        /// The assignment that it was read under.
        assignment: u32,
    },
    /// What a stream carries on was acknowledged.
    Carried,
}

impl Outbound {
    /// What to tell now that it is delivered.
    pub(super) fn delivered(&self, now: Timestamp) -> Delivered {
        match self {
            Self::Result { job, timing, sent_at } => {
                Delivered::Result { job: job.clone(), timing: *timing, publish: now.since(*sent_at) }
            }
            Self::Dead(dead) => Delivered::Letter {
                position: dead.letter.record().position,
                assignment: dead.letter.assignment(),
            },
            Self::LeftOut { sample, .. } => {
                Delivered::Letter { position: sample.position(), assignment: sample.assignment }
            }
            Self::Carried { .. } => Delivered::Carried,
        }
    }

    /// How many bytes of what was read it keeps.
    pub(super) fn held(&self) -> u64 {
        match self {
            Self::Result { job, .. } => {
                let samples = job.bundle.parts.iter().flat_map(|part| &part.samples);
                samples.map(|sample| sample.reservation.bytes()).sum()
            }
            Self::Dead(dead) => dead.letter.record().weight() as u64,
            Self::LeftOut { sample, .. } => sample.reservation.bytes(),
            Self::Carried { record, .. } => record.weight() as u64,
        }
    }

    pub(super) fn is_result(&self) -> bool {
        matches!(self, Self::Result { .. })
    }

    /// Whether all that it is made of was read under assignments that hold.
    pub(super) fn is_ours(&self, holds: impl Fn(PartitionId, u32) -> bool) -> bool {
        match self {
            Self::Result { job, .. } => is_ours(job, holds),
            Self::Dead(dead) => holds(dead.letter.record().position.partition, dead.letter.assignment()),
            Self::LeftOut { sample, .. } => holds(sample.position().partition, sample.assignment),
            Self::Carried { partition, assignment, .. } => holds(*partition, *assignment),
        }
    }
}

/// Whether all samples of a bundle were read under assignments that hold.
pub(super) fn is_ours(job: &Job, holds: impl Fn(PartitionId, u32) -> bool) -> bool {
    let mut samples = job.bundle.parts.iter().flat_map(|part| &part.samples);
    samples.all(|sample| holds(sample.position().partition, sample.assignment))
}
