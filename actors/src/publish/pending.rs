//! What is on its way to a topic.

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
    /// What was sent, kept to be sent again where there are transactions, which may not count, and where it cannot be made
    /// again.
    pub(super) record: Option<Box<OutRecord>>,
}

impl Outbound {
    /// Whether nobody has been told that it was delivered, and nothing that was told is without it.
    pub(super) fn is_unsaid(&self) -> bool {
        !matches!(self, Self::Told { .. } | Self::Carried { .. })
    }
}

impl Pending {
    /// It was delivered in a transaction: what has come to its end now, if that has not been told, and what is left of it
    /// until the transaction counts.
    pub(super) fn told(self, now: Timestamp) -> (Option<Delivered>, Self) {
        let told = Outbound::Told { read: self.what.read() };
        (self.what.delivered(now), Self { what: told, record: self.record })
    }
}

/// The partitions that something was read of, and the assignments.
type Read = SmallVec<[(PartitionId, u32); 2]>;

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
        keeps: Keeps,
    },
    /// What a stream carries on, read of this partition under this assignment.
    Carried {
        partition: PartitionId,
        assignment: u32,
    },
    /// It has been told as delivered, in a transaction that does not count yet. Of what it was made of nothing is needed any
    /// more but where that was read.
    Told {
        read: Read,
    },
}

/// A record that is made into a dead letter.
pub(super) struct Dead {
    pub(super) letter: DeadLetter,
    pub(super) topic: String,
    pub(super) fault: Fault,
    pub(super) keeps: Keeps,
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
    DeadLetter {
        /// The record that it was.
        position: Position,
        /// The assignment that it was read under.
        assignment: u32,
    },
    /// What a stream carries on was acknowledged.
    Carried,
}

impl Outbound {
    /// What to tell now that it is delivered, if that has not been told.
    pub(super) fn delivered(self, now: Timestamp) -> Option<Delivered> {
        Some(match self {
            Self::Result { job, timing, sent_at } => {
                Delivered::Result { job, timing, publish: now.since(sent_at) }
            }
            Self::Dead(dead) => Delivered::DeadLetter {
                position: dead.letter.record().position,
                assignment: dead.letter.assignment(),
            },
            Self::LeftOut { sample, .. } => {
                Delivered::DeadLetter { position: sample.position(), assignment: sample.assignment }
            }
            Self::Carried { .. } => Delivered::Carried,
            Self::Told { .. } => return None,
        })
    }

    /// Where all that it is made of was read.
    pub(super) fn read(&self) -> Read {
        match self {
            Self::Result { job, .. } => read(job).collect(),
            Self::Dead(dead) => {
                smallvec![(dead.letter.record().position.partition, dead.letter.assignment())]
            }
            Self::LeftOut { sample, .. } => smallvec![(sample.position().partition, sample.assignment)],
            Self::Carried { partition, assignment, .. } => smallvec![(*partition, *assignment)],
            Self::Told { read, .. } => read.clone(),
        }
    }

    pub(super) fn is_result(&self) -> bool {
        matches!(self, Self::Result { .. })
    }

    /// Whether all that it is made of was read under assignments that hold.
    pub(super) fn is_ours(&self, holds: impl Fn(PartitionId, u32) -> bool) -> bool {
        self.read().into_iter().all(|(partition, assignment)| holds(partition, assignment))
    }
}

/// Whether all samples of a bundle were read under assignments that hold.
pub(super) fn is_ours(job: &Job, holds: impl Fn(PartitionId, u32) -> bool) -> bool {
    read(job).all(|(partition, assignment)| holds(partition, assignment))
}

/// Where all samples of a bundle were read, once for several in a row.
fn read(job: &Job) -> impl Iterator<Item = (PartitionId, u32)> {
    let samples = job.bundle.parts.iter().flat_map(|part| &part.samples);
    let mut last = None;
    samples.filter_map(move |sample| {
        let read = (sample.position().partition, sample.assignment);
        (last.replace(read) != Some(read)).then_some(read)
    })
}
