//! Streams that a shard gives away or adopts.

use std::sync::Arc;

use lockstep_engine::align::Aligner;
use lockstep_engine::position::PartitionId;
use lockstep_engine::sample::{Sample, StreamKey};
use lockstep_engine::sharding::Awaiting;

use crate::message::ShardMove;

/// Streams that are still to be handed over.
pub(super) struct Giving {
    pub(super) moving: Arc<ShardMove>,
    pub(super) streams: Vec<StreamKey>,
}

/// Streams that are still to be adopted.
pub(super) struct Taking {
    pub(super) moving: Arc<ShardMove>,
    pub(super) awaiting: Awaiting<WaitingSample>,
    /// Partitions that were revoked during the move: streams of them are outdated.
    pub(super) revoked: Vec<PartitionId>,
    /// Set when ingest has sent its last message: the number of shards that receive the stop.
    pub(super) stopped: Option<usize>,
}

/// A sample that waits for its stream.
pub(super) struct WaitingSample {
    pub(super) sample: Arc<Sample>,
    pub(super) had_ended: bool,
}

impl Taking {
    /// Begins a move before any stream has arrived.
    pub(super) fn new(moving: Arc<ShardMove>) -> Self {
        let awaiting = Awaiting::new(moving.resize);
        Self { moving, awaiting, revoked: Vec::new(), stopped: None }
    }

    /// Keeps the samples whose streams have not arrived, and returns the others.
    pub(super) fn keep(
        &mut self,
        samples: Vec<Arc<Sample>>,
        had_ended: bool,
        aligner: &Aligner<Arc<Sample>>,
    ) -> Vec<Arc<Sample>> {
        let keep = |sample: Arc<Sample>| {
            let stream = sample.stream.clone();
            let waiting = WaitingSample { sample, had_ended };
            let now = self.awaiting.keep(&stream, waiting, || aligner.knows(&stream));
            now.map(|waiting| waiting.sample)
        };
        samples.into_iter().filter_map(keep).collect()
    }

    /// Drops the samples of revoked partitions.
    pub(super) fn revoke(&mut self, partitions: impl Iterator<Item = PartitionId>) {
        self.revoked.extend(partitions);
        let revoked = &self.revoked;
        self.awaiting.retain(|waiting| !revoked.contains(&waiting.sample.position().partition));
    }

    /// Defers the stop until all streams have arrived, since their givers sent them before the stop.
    pub(super) fn stop(&mut self, shards: usize) {
        self.stopped = Some(shards);
    }
}
