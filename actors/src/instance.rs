//! Inference instances: loaded copies of a step's model, each on its own thread, and the watchdog that replaces hung threads.
//!
//! A thread that calls a model may not come back. So the batch and the stream state lie in a `slot` during the call. If the
//! call takes too long, the watchdog takes the slot away from the thread and ignores whatever the thread reports later. A new
//! thread (`worker`) loads the model again, takes the slot and goes on with its contents. `watchdog` watches deadlines and
//! starts new threads. The rules are the engine's: `infer::retry` chooses the part of a batch that is tried next,
//! `supervision::restart` the time of a new thread, and `supervision::breaker` when the model is not called.
//!
//! The batch actor of a step adds and removes instances while the pipeline runs. An added instance loads its model before it
//! takes batches. A leaving instance takes no more orders, finishes its batch and reports when its model is released. Stream
//! state moves between instances by orders that stand between the batches.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::instance_handle::{InstanceHandle, Loaded};
use core::Instance;

mod call;
mod core;
mod loading;
mod models;
mod slot;
mod watchdog;
mod work;
mod worker;

pub use core::InstanceParts;
pub use watchdog::{Watchdog, Watched};

/// An instance under the watch of a watchdog.
pub struct WatchedInstance {
    instance: Arc<Instance>,
    watched: Watched,
}

impl WatchedInstance {
    /// Creates an instance without a thread.
    pub fn new(parts: InstanceParts, watched: Watched) -> Self {
        Self { instance: Arc::new(Instance::new(parts)), watched }
    }
}

impl InstanceHandle for WatchedInstance {
    fn number(&self) -> usize {
        self.instance.number()
    }

    fn name(&self) -> &str {
        self.instance.name()
    }

    fn start(&self, loaded: Loaded) -> std::io::Result<()> {
        worker::start(&self.instance, loaded)?;
        self.watched.add(self.instance.clone());
        Ok(())
    }

    fn leave(&self, gone: oneshot::Sender<()>) {
        self.instance.leave(gone);
    }
}
