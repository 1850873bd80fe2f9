//! Messages to the batch stage of one step.

use std::sync::Arc;

use lockstep_engine::infer::job::Job;
use lockstep_engine::infer::state::HandedOver;
use tokio::sync::OwnedSemaphorePermit;

/// A message to the batch stage.
pub enum BatchMessage {
    /// Bundles that have everything that the step needs.
    Jobs(Vec<Arc<Job>>),
    /// A free slot of the instances that serve the queue with this id.
    Slot(u64, OwnedSemaphorePermit),
    /// A sender has sent its last bundle. From now on batches are cut without waiting for more bundles.
    Flush,
    /// An event of a change in the number of instances.
    Change(PoolChange),
}

/// An event of a change in the number of instances.
pub enum PoolChange {
    /// The desired number changed.
    Desired,
    /// The new instance has loaded its model (with the device), or has not (with the reason).
    Loaded(Result<String, String>),
    /// The instance of this queue has handed over the state of the streams that move.
    HandedOver(usize, Vec<HandedOver>),
    /// The instance with this number has ended.
    Gone(usize),
}
