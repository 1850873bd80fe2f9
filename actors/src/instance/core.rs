//! The part of an instance that its threads and the watchdog share.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, at, never};
use lockstep_backend::Backend;
use lockstep_engine::infer::state::StateStore;
use lockstep_engine::supervision::restart::{RestartPolicy, Restarts};
use lockstep_engine::telemetry::models::Unload;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::slot::Slot;
use crate::failure::Failures;
use crate::message::Order;
use crate::model_memory::ModelMemory;
use crate::notify::Notify;
use crate::route::Routes;
use crate::unit_runtime::UnitRuntime;

/// Streams whose state an instance keeps. Beyond that, the least recently used stream begins anew.
const MOST_STREAMS: usize = 100_000;

/// The parts of an instance.
pub struct InstanceParts {
    /// The step.
    pub runtime: Arc<UnitRuntime>,
    /// The number of the instance within its step.
    pub number: usize,
    /// True if the model loads when a bundle needs it. An instance that is added later loads before it takes batches.
    pub is_lazy: bool,
    /// The runtime of its model.
    pub backend: Arc<dyn Backend>,
    /// The runtime of the fallback model, if there is one.
    pub fallback: Option<Arc<dyn Backend>>,
    /// The channel of its orders. Instances without stream state share one.
    pub orders: Receiver<Order>,
    /// The routes of its jobs.
    pub routes: Routes,
    /// Receives failures that end the pipeline.
    pub failures: Failures,
    /// The limit of restarts.
    pub restarts: RestartPolicy,
    /// The account of the memory that models share.
    pub memory: ModelMemory,
    /// Wakes threads that wait for a change.
    pub notify: Arc<Notify>,
}

/// The events that end the stay of a loaded model.
pub(super) struct StayEvents {
    /// Another model needs the memory.
    pub(super) evicted: Receiver<()>,
    /// The model has been idle for `unload_after`.
    pub(super) idle_at: Option<Instant>,
}

/// The next task of an instance's thread.
pub(super) enum Task {
    /// Executes an order.
    Order(Order),
    /// Loads the model ahead of the first bundle.
    Load,
    /// Releases the model.
    Unload(Unload),
    /// Ends: the instance must, or the senders are gone.
    End,
}

/// An instance. Its threads, one of which at a time holds the slot, and the watchdog share it.
pub struct Instance {
    pub(super) parts: InstanceParts,
    pub(super) name: String,
    pub(super) slot: Mutex<Slot>,
    /// Signals that the instance must end.
    leave: (Sender<()>, Receiver<()>),
}

impl Instance {
    /// Creates an instance without a thread.
    pub(super) fn new(parts: InstanceParts) -> Self {
        let step = parts.runtime.spec();
        let name = format!("infer-{}-{}", step.name, parts.number);
        let seed = parts.number as u64 ^ (parts.runtime.index() as u64) << 32;
        let state = StateStore::new(&step.unit.model.signature, MOST_STREAMS);
        let slot = Slot::new(state, Restarts::new(parts.restarts, seed));
        Self { name, slot: Mutex::new(slot), leave: crossbeam_channel::bounded(1), parts }
    }

    /// Returns the instance's name among the actors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of the instance within its step.
    pub(super) fn number(&self) -> usize {
        self.parts.number
    }

    /// Ends the instance after its batch. It takes no more orders and signals `gone` once its model is released.
    pub(super) fn leave(&self, gone: oneshot::Sender<()>) {
        self.slot.lock().gone = Some(gone);
        let _ = self.leave.0.try_send(());
        // The instance may have no thread now and then needs no new one.
        self.parts.notify.notify();
    }

    /// Returns true once the instance must end.
    pub(super) fn must_end(&self) -> bool {
        self.slot.lock().gone.is_some()
    }

    /// Waits for the next task. Without a model, the thread also listens for a request to load it; with one, for a request to
    /// unload it and for the end of `unload_after`.
    pub(super) fn next_task(&self, loaded: Option<StayEvents>) -> Task {
        let wanted = if loaded.is_none() { self.parts.runtime.wanted().clone() } else { never() };
        let idle = loaded.as_ref().and_then(|loaded| loaded.idle_at).map_or_else(never, at);
        let evicted = loaded.map_or_else(never, |loaded| loaded.evicted);
        crossbeam_channel::select_biased! {
            recv(self.leave.1) -> _ => Task::End,
            recv(evicted) -> _ => Task::Unload(Unload::Evicted),
            recv(self.parts.orders) -> order => order.map_or(Task::End, Task::Order),
            recv(wanted) -> _ => Task::Load,
            recv(idle) -> _ => Task::Unload(Unload::Idle),
        }
    }
}
