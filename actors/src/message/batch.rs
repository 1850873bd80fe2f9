//! Messages to the batch stage of one step.

use std::sync::Arc;

use lockstep_backend::BackendError;
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
    /// The new instance has loaded its model (with the device), or has not.
    Loaded(Result<Option<String>, LoadError>),
    /// The instance of this queue has handed over the state of the streams that move.
    HandedOver(usize, Vec<HandedOver>),
    /// The instance with this number has ended.
    Gone(usize),
}

/// The reason why a further instance does not serve. The pool tries again as often as the restart policy allows.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The system gives no thread.
    #[error("the system gives no thread: {0}")]
    NoThread(std::io::Error),
    /// The backend does not load the model.
    #[error(transparent)]
    Model(BackendError),
    /// The instance's thread ended while it loaded the model.
    #[error("the instance ended before its model was loaded")]
    Ended,
}
