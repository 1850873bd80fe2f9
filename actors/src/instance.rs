//! Inference instances: loaded copies of a step's model, each on a thread of its own, and who replaces
//! them.
//!
//! A thread that calls a model may not come back. So what an instance works on, and what its streams
//! carry on, lies on a `slot` while the model is called: whoever finds that the call has taken too
//! long takes the slot away from the thread, and whatever that still says is ignored. A new thread
//! (`worker`) loads the model again, sits down at the same slot and goes on with what lies there.
//! `watch` sees deadlines pass and seats new threads. The rules are the engine's: `infer::retry` says
//! which part of a batch is tried next, `supervision::restart` when there is a new thread, and
//! `supervision::breaker` when the model is left alone.
//!
//! Instances come and go while the pipeline runs: who decides on that is the batch actor of their step
//! ([`crate::batch`]). One that comes loads its model before anybody counts on it. One that is to go takes nothing more,
//! does what it has in hand, and says when its model is gone. What streams carry on goes from one to another by orders
//! that stand between the batches.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use lockstep_engine::infer::backend::{Backend, BackendError};
use lockstep_engine::infer::job::Job;
use lockstep_engine::infer::state::{HandedOver, StateStore};
use lockstep_engine::preprocess::Placement;
use lockstep_engine::sharding::Resize;
use lockstep_engine::supervision::restart::{RestartPolicy, Restarts};
use lockstep_engine::tensor::Tensor;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::failure::Failures;
use crate::prepare::StepRuntime;
use crate::route::Routes;

mod call;
pub mod count;
mod notify;
mod slot;
mod watchdog;
mod work;
mod worker;

pub use notify::Notify;
use slot::Slot;
pub use watchdog::{Watchdog, Watched};

/// Streams whose state an instance keeps; beyond that the one unused for longest begins anew.
const MOST_STREAMS: usize = 100_000;

/// A batch, ready to run.
pub struct Batch {
    /// Its bundles, each with the time since when it had everything it needs.
    pub jobs: Vec<(Arc<Job>, Timestamp)>,
    /// By binding; none where state is carried, which the instance adds.
    pub inputs: Vec<Option<Tensor>>,
    /// Where each source image lies in the model's input.
    pub placements: Vec<Option<Placement>>,
    /// When it was cut.
    pub cut_at: Timestamp,
    /// When its memory was filled.
    pub prepared_at: Timestamp,
    /// The instance's slot that it takes.
    pub slot: OwnedSemaphorePermit,
}

/// What an instance is told to do, one after the other.
pub enum Order {
    /// To run a batch.
    Batch(Batch),
    /// To hand over what those streams carry on that move.
    HandOver {
        /// Of how many lanes to how many.
        resize: Resize,
        /// Who takes it.
        reply: oneshot::Sender<Vec<HandedOver>>,
    },
    /// To take up what streams carry on that have come from another.
    Adopt(Vec<HandedOver>),
}

/// Told once of the first load of a model: on which device it is, or why it is not there.
pub type Loaded = Box<dyn FnOnce(Result<String, BackendError>) + Send>;

/// What an instance is made of.
pub struct InstanceParts {
    /// The step.
    pub runtime: Arc<StepRuntime>,
    /// Which of the step's instances it is.
    pub number: usize,
    /// What loads its model.
    pub backend: Arc<dyn Backend>,
    /// What loads the model that stands in for it, if there is one.
    pub fallback: Option<Arc<dyn Backend>>,
    /// Where its orders come from; instances without state share one queue.
    pub orders: Receiver<Order>,
    /// Where its jobs go.
    pub routes: Routes,
    /// Who is told when it cannot be helped.
    pub failures: Failures,
    /// How often it is started again.
    pub restarts: RestartPolicy,
    /// Rung when something has changed that others wait for.
    pub notify: Arc<Notify>,
}

/// An instance: shared by its threads, of which one at a time is seated, and the watch.
pub struct Instance {
    parts: InstanceParts,
    name: String,
    slot: Mutex<Slot>,
    /// Told when it is to go.
    leave: (Sender<()>, Receiver<()>),
}

impl Instance {
    /// An instance without a thread.
    pub fn new(parts: InstanceParts) -> Self {
        let step = &parts.runtime.step;
        let name = format!("infer-{}-{}", step.name, parts.number);
        let seed = parts.number as u64 ^ (parts.runtime.index as u64) << 32;
        let state = StateStore::new(&step.model.signature, MOST_STREAMS);
        let slot = Slot::new(state, Restarts::new(parts.restarts, seed));
        Self { name, slot: Mutex::new(slot), leave: crossbeam_channel::bounded(1), parts }
    }

    /// What it is called among the actors.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Which of the step's instances it is.
    pub fn number(&self) -> usize {
        self.parts.number
    }

    /// Seats the first thread. It loads the model and says on which device it is, or why it is not there. Until it is
    /// there the pipeline's health knows nothing of it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self: &Arc<Self>, loaded: Loaded) -> std::io::Result<()> {
        let thread = self.occupant(0, Some(loaded))?;
        self.slot.lock().thread = Some(thread);
        Ok(())
    }

    /// It is to take no more orders, and to go when it has done what it has in hand. `gone` is told when its model is
    /// there no longer.
    pub fn leave(&self, gone: oneshot::Sender<()>) {
        self.slot.lock().gone = Some(gone);
        let _ = self.leave.0.try_send(());
        // It may have no thread at the moment, and need not get one.
        self.parts.notify.ring();
    }

    /// The next order; none when it is to go, or when nobody gives orders any more.
    fn next_order(&self) -> Option<Order> {
        crossbeam_channel::select_biased! {
            recv(self.leave.1) -> _ => None,
            recv(self.parts.orders) -> order => order.ok(),
        }
    }

    fn occupant(
        self: &Arc<Self>,
        generation: u64,
        loaded: Option<Loaded>,
    ) -> std::io::Result<JoinHandle<()>> {
        let instance = self.clone();
        std::thread::Builder::new()
            .name(self.name.clone())
            .spawn(move || worker::Worker::new(instance, generation).live(loaded))
    }
}
