//! Revoked partitions whose records in flight must end before another process reads them.

use std::sync::Arc;

use lockstep_engine::ingest::source::Acknowledge;
use lockstep_engine::publish::transaction::CommitMark;
use lockstep_engine::time::Timestamp;

use crate::message::Revocation;

/// Revoked partitions that are being drained.
pub(super) struct Draining {
    pub(super) revocation: Arc<Revocation>,
    /// One from each shard that has reported the revocation. Dropping them releases the partitions.
    pub(super) acknowledge: Vec<Arc<Acknowledge>>,
    /// The deadline of the draining; none until all shards have reported the revocation.
    pub(super) until: Option<Timestamp>,
    /// A mark behind the partitions' last bundle, set once all shards have reported.
    pub(super) last_bundle: Option<u64>,
    /// A mark behind the last record sent for them, set once all their bundles have been sent.
    pub(super) last_sent: Option<CommitMark>,
}
