//! Messages to one shard of the align stage, and the move of streams between shards that they share.

use std::sync::Arc;

use lockstep_engine::align::{Bounds, Handover};
use lockstep_engine::ingest::source::Acknowledge;
use lockstep_engine::sample::Sample;
use lockstep_engine::sharding::ShardResize;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use super::publish::Revocation;
use crate::mailbox::Mailbox;

/// A message to one shard of the align stage.
pub enum AlignMessage {
    /// Samples of the shard's streams, in the order of arrival.
    Samples {
        /// The time of arrival, by the intake clock.
        at: Timestamp,
        /// The samples.
        samples: Vec<Arc<Sample>>,
    },
    /// Samples that ended before a restart, in the order of arrival, or shed samples. They only advance the watermarks of
    /// their streams.
    Ended {
        /// The time of arrival, by the intake clock.
        at: Timestamp,
        /// The samples.
        samples: Vec<Arc<Sample>>,
    },
    /// Revoked partitions, each with the number of the assignment that ended. The source releases the partitions when
    /// the shards and publish have dropped the acknowledgement.
    Revoked(Arc<Revocation>, Arc<Acknowledge>),
    /// Streams move to this shard. Their samples wait here until the shard has adopted them.
    Expect(Arc<ShardMove>),
    /// Streams move away from this shard. From now on their samples go to other shards.
    HandOver(Arc<ShardMove>),
    /// Streams to adopt.
    Adopt {
        /// The shard that hands them over.
        giver: usize,
        /// The state of each stream.
        streams: Vec<Handover<Arc<Sample>>>,
        /// True if the giver has no more streams to hand over.
        is_all: bool,
    },
    /// All streams have moved elsewhere and no message follows: the shard ends.
    Leave,
    /// The end of the input, to pass on, with the number of shards that receive it. Buffered samples are not closed into
    /// bundles: they are not committed and are read again.
    Stop(usize),
    /// The end of the input for ever, to pass on, with the number of shards that receive it. No streams move; open bundles
    /// close as they are.
    End(usize),
}

/// Streams that move because the number of shards changes. Ingest, givers and takers share it. The rules, and the reason
/// why no circle of shards waits, are in [`lockstep_engine::sharding`].
pub struct ShardMove {
    /// The old and the new number of shards.
    pub(crate) resize: ShardResize,
    /// The bounds of alignment of the whole process.
    pub(crate) bounds: Bounds,
    /// The mailboxes of all shards, including new ones and those to be removed.
    pub(crate) mailboxes: Vec<Mailbox<AlignMessage>>,
    /// The time at which ingest announced the move.
    pub(crate) began: Timestamp,
    /// Takers that have adopted all their streams and that ingest has not yet seen. They report here and not by message,
    /// because ingest may be waiting for credits of their mailboxes.
    pub(crate) adopted: Mutex<Vec<usize>>,
}
