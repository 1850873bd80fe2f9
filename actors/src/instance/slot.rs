//! The slot of an instance: the batch and stream state that survive a hung thread.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use lockstep_backend::Interrupt;
use lockstep_engine::infer::state::StateStore;
use lockstep_engine::supervision::restart::Restarts;
use tokio::sync::oneshot;

use super::work::BatchRun;
use crate::model_memory::CopyHandle;

/// The work in flight. A thread puts it into the slot while it calls the model and when it leaves.
pub(super) struct InFlight {
    /// The stream state.
    pub(super) state: StateStore,
    /// The batch that has not ended.
    pub(super) work: Option<BatchRun>,
    /// The reason of the hung call, if a thread was abandoned in one.
    pub(super) hung: Option<String>,
}

/// The holder of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occupant {
    /// A thread, with the deadline of its call of the model.
    Taken(Option<Instant>),
    /// No thread until this time.
    Vacant(Instant),
    /// No thread any more.
    Closed,
}

/// The slot of one instance.
pub(super) struct Slot {
    /// The number of the thread that may hold the slot, from 0.
    pub(super) generation: u64,
    pub(super) occupant: Occupant,
    /// The copy of the model that the thread holds.
    pub(super) copy: Option<CopyHandle>,
    /// Ends the call of the model that is under way, where the runtime can.
    pub(super) interrupt: Option<Arc<dyn Interrupt>>,
    /// The work in flight, except while the slot's thread holds it outside of a call.
    pub(super) in_flight: Option<Box<InFlight>>,
    pub(super) restarts: Restarts,
    /// The thread that holds the slot, or the last one.
    pub(super) thread: Option<JoinHandle<()>>,
    /// Threads that were abandoned in a call.
    pub(super) abandoned: Vec<JoinHandle<()>>,
    /// Set once the instance must end; signals that it has.
    pub(super) gone: Option<oneshot::Sender<()>>,
    /// True once the instance has ended, or failed to load.
    pub(super) is_gone: bool,
}

impl Slot {
    pub(super) fn new(state: StateStore, restarts: Restarts) -> Self {
        Self {
            generation: 0,
            occupant: Occupant::Taken(None),
            copy: None,
            interrupt: None,
            in_flight: Some(Box::new(InFlight { state, work: None, hung: None })),
            restarts,
            thread: None,
            abandoned: Vec::new(),
            gone: None,
            is_gone: false,
        }
    }

    /// Puts the work in flight into the slot for the time of a call of the model.
    pub(super) fn store(
        &mut self,
        in_flight: Box<InFlight>,
        deadline: Instant,
        interrupt: Option<Arc<dyn Interrupt>>,
    ) {
        (self.in_flight, self.interrupt) = (Some(in_flight), interrupt);
        self.occupant = Occupant::Taken(Some(deadline));
    }

    /// Takes the work in flight, if the slot still belongs to that thread.
    pub(super) fn take(&mut self, generation: u64) -> Option<Box<InFlight>> {
        if self.generation != generation {
            return None;
        }
        self.occupant = Occupant::Taken(None);
        self.interrupt = None;
        self.in_flight.take()
    }

    /// Closes the slot of an instance whose model could not be loaded at first.
    pub(super) fn close_unused(&mut self) {
        (self.occupant, self.is_gone) = (Occupant::Closed, true);
    }

    /// Closes the slot of an instance that must end. Returns the signal to send once the model is released too.
    pub(super) fn clear(&mut self) -> Option<oneshot::Sender<()>> {
        let gone = self.gone.take()?;
        (self.occupant, self.in_flight, self.is_gone) = (Occupant::Closed, None, true);
        Some(gone)
    }

    /// Returns true if the instance and all its threads have ended.
    pub(super) fn has_ended(&self) -> bool {
        self.is_gone && self.thread.iter().chain(&self.abandoned).all(JoinHandle::is_finished)
    }

    /// Takes the slot away from the thread that holds it. Where the runtime can, that thread's call ends, and with it the thread.
    pub(super) fn evict(&mut self, now: Instant) {
        self.generation += 1;
        self.occupant = Occupant::Vacant(now);
        if let Some(interrupt) = self.interrupt.take() {
            interrupt.interrupt();
        }
        if let Some(copy) = self.copy.take() {
            copy.lost();
        }
        self.abandoned.retain(|thread| !thread.is_finished());
        self.abandoned.extend(self.thread.take());
    }
}
