//! Orders to an instance: batches, and stream state that moves between instances.

use lockstep_engine::infer::state::HandedOver;
use lockstep_engine::preprocess::Placement;
use lockstep_engine::sharding::ShardResize;
use lockstep_engine::tensor::Tensor;
use lockstep_engine::time::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::prepare::BatchRow;

/// A batch that is ready to run.
pub struct Batch {
    /// Its rows.
    pub rows: Vec<BatchRow>,
    /// One tensor a binding. Bindings to stream state have none: the instance adds those.
    pub inputs: Vec<Option<Tensor>>,
    /// The place of each source image in the model's input.
    pub placements: Vec<Option<Placement>>,
    /// The time of the cut.
    pub cut_at: Timestamp,
    /// The time at which the batch's memory was full.
    pub prepared_at: Timestamp,
    /// The instance's slot that the batch takes.
    pub slot: OwnedSemaphorePermit,
}

/// An order to an instance. An instance executes its orders one after the other.
pub enum Order {
    /// Run a batch.
    Batch(Batch),
    /// Hand over the state of the streams that move.
    HandOver {
        /// The old and the new number of queues.
        resize: ShardResize,
        /// Receives the state.
        reply: oneshot::Sender<Vec<HandedOver>>,
    },
    /// Adopt stream state that another instance handed over.
    Adopt(Vec<HandedOver>),
}
