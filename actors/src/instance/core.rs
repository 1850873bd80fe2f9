//! The part of an instance that its threads and the watchdog share.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lockstep_backend::Backend;
use lockstep_engine::infer::state::StateStore;
use lockstep_engine::supervision::restart::{RestartPolicy, Restarts};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::notify::Notify;
use super::slot::Slot;
use crate::failure::Failures;
use crate::message::Order;
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
    /// Wakes threads that wait for a change.
    pub notify: Arc<Notify>,
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

    /// Waits for the next order; `None` if the instance must end or the senders are gone.
    pub(super) fn next_order(&self) -> Option<Order> {
        crossbeam_channel::select_biased! {
            recv(self.leave.1) -> _ => None,
            recv(self.parts.orders) -> order => order.ok(),
        }
    }
}
