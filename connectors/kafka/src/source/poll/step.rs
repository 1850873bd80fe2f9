//! The steps of a rebalance.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::assignment::AssignmentStarts;
use super::offset_query::OffsetQuery;
use crate::source::context::TopicPartition;

/// The work that the group waits for.
pub(super) enum RebalanceStep {
    Settled,
    /// The assignment of partitions, not before the given time.
    Assigning(Vec<TopicPartition>, Instant),
    /// The lookup of their offsets and of their stream state.
    LookingUp(Vec<TopicPartition>, OffsetQuery<AssignmentStarts>),
    /// The release of partitions by the pipeline, until the given time at the latest.
    Revoking(Vec<TopicPartition>, Arc<AtomicBool>, Instant),
}
