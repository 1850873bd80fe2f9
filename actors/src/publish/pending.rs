//! Records on their way to a topic.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::fault::Fault;
use lockstep_engine::infer::job::Job;
use lockstep_engine::position::{PartitionId, Position};
use lockstep_engine::publish::result::Timing;
use lockstep_engine::publish::side_output::{Keeps, LeftOut};
use lockstep_engine::publish::sink::OutRecord;
use lockstep_engine::sample::Sample;
use lockstep_engine::time::Timestamp;
use smallvec::{SmallVec, smallvec};

use super::dead_letter::DeadLetter;

/// A record on its way.
pub(super) struct Pending {
    pub(super) what: Outbound,
    /// The record as it was sent, kept if its transaction may be aborted or if it cannot be made again.
    pub(super) record: Option<Box<OutRecord>>,
}

impl Outbound {
    /// Returns true if its delivery was not reported, so that no reported outcome depends on it.
    pub(super) fn is_unreported(&self) -> bool {
        !matches!(self, Self::Reported { .. } | Self::State { .. })
    }
}

impl Pending {
    /// Reports a delivery within a transaction. Returns the outcome, unless it was reported before, and the rest that is kept
    /// until the transaction is committed.
    pub(super) fn report(self, now: Timestamp) -> (Option<Delivered>, Self) {
        let reported = Outbound::Reported { read: self.what.read() };
        (self.what.delivered(now), Self { what: reported, record: self.record })
    }
}

/// The partitions from which the samples were read, with their assignments.
type Read = SmallVec<[(PartitionId, u32); 2]>;

/// The source of a record.
pub(super) enum Outbound {
    Result {
        job: Arc<Job>,
        timing: Timing,
        sent_at: Timestamp,
    },
    /// Boxed, as there are few: every waiting record takes the memory of the largest variant.
    Dead(Box<Dead>),
    LeftOut {
        sample: Arc<Sample>,
        topic: String,
        why: LeftOut,
        keeps: Keeps,
    },
    /// Stream state, from samples of this partition and assignment.
    State {
        partition: PartitionId,
        assignment: u32,
    },
    /// A record reported as delivered in a transaction that is not committed yet. Only the partitions of its samples are still
    /// needed.
    Reported {
        read: Read,
    },
}

/// A record that is made into a dead letter.
pub(super) struct Dead {
    pub(super) dead_letter: DeadLetter,
    pub(super) topic: String,
    pub(super) fault: Fault,
    pub(super) keeps: Keeps,
}

/// A record that has ended.
pub(super) enum Delivered {
    /// A result was acknowledged.
    Result {
        /// The job.
        job: Arc<Job>,
        /// The parts of its latency.
        timing: Timing,
        /// The time from handing it to the sink to the acknowledgement.
        publish: Duration,
    },
    /// A result that the broker will never accept.
    Poison {
        /// The job.
        job: Arc<Job>,
        /// The fault.
        fault: Fault,
    },
    /// A dead letter, or a late, evicted or shed record, was acknowledged.
    DeadLetter {
        /// The position of the record.
        position: Position,
        /// The assignment under which it was read.
        assignment: u32,
    },
    /// Stream state was acknowledged.
    State,
}

impl Outbound {
    /// Returns the outcome of a delivery, unless it was reported before.
    pub(super) fn delivered(self, now: Timestamp) -> Option<Delivered> {
        Some(match self {
            Self::Result { job, timing, sent_at } => {
                Delivered::Result { job, timing, publish: now.since(sent_at) }
            }
            Self::Dead(dead) => Delivered::DeadLetter {
                position: dead.dead_letter.record().position,
                assignment: dead.dead_letter.assignment(),
            },
            Self::LeftOut { sample, .. } => {
                Delivered::DeadLetter { position: sample.position(), assignment: sample.assignment }
            }
            Self::State { .. } => Delivered::State,
            Self::Reported { .. } => return None,
        })
    }

    /// Returns the partitions from which its samples were read.
    pub(super) fn read(&self) -> Read {
        match self {
            Self::Result { job, .. } => read(job).collect(),
            Self::Dead(dead) => {
                smallvec![(dead.dead_letter.record().position.partition, dead.dead_letter.assignment())]
            }
            Self::LeftOut { sample, .. } => smallvec![(sample.position().partition, sample.assignment)],
            Self::State { partition, assignment, .. } => smallvec![(*partition, *assignment)],
            Self::Reported { read, .. } => read.clone(),
        }
    }

    pub(super) fn is_result(&self) -> bool {
        matches!(self, Self::Result { .. })
    }

    /// Returns true for stream state, which cannot be made again.
    pub(super) fn is_state(&self) -> bool {
        matches!(self, Self::State { .. })
    }

    /// Returns true if all its samples were read under assignments that still hold.
    pub(super) fn is_ours(&self, holds: impl Fn(PartitionId, u32) -> bool) -> bool {
        self.read().into_iter().all(|(partition, assignment)| holds(partition, assignment))
    }
}

/// Returns true if all samples of a bundle were read under assignments that still hold.
pub(super) fn is_ours(job: &Job, holds: impl Fn(PartitionId, u32) -> bool) -> bool {
    read(job).all(|(partition, assignment)| holds(partition, assignment))
}

/// Returns the partitions from which a bundle's samples were read, without immediate repetitions.
fn read(job: &Job) -> impl Iterator<Item = (PartitionId, u32)> {
    let samples = job.bundle.parts.iter().flat_map(|part| &part.samples);
    let mut last = None;
    samples.filter_map(move |sample| {
        let read = (sample.position().partition, sample.assignment);
        (last.replace(read) != Some(read)).then_some(read)
    })
}
