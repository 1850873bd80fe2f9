//! What an instance's threads hand to one another.

use std::thread::JoinHandle;
use std::time::Instant;

use lockstep_engine::infer::state::StateStore;
use lockstep_engine::supervision::restart::Restarts;
use tokio::sync::oneshot;

use super::work::Work;

/// What a thread holds in its hands, and lays on the slot while it calls the model or when it leaves.
pub(super) struct InFlight {
    /// What the streams carry on.
    pub(super) state: StateStore,
    /// The batch that has not ended.
    pub(super) work: Option<Work>,
    /// Why the call did not come back that was under way when a thread was left behind.
    pub(super) hung: Option<String>,
}

/// Who sits at the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occupant {
    /// A thread; while it calls the model, until when that must have come back.
    Taken(Option<Instant>),
    /// Nobody, until then.
    Vacant(Instant),
    /// Nobody any more.
    Closed,
}

/// The slot of one instance.
pub(super) struct Slot {
    /// Which thread may sit at it, counted from 0.
    pub(super) generation: u64,
    pub(super) occupant: Occupant,
    /// On the slot: before a thread has sat down, while a model is called, and after a thread has left.
    pub(super) hands: Option<Box<InFlight>>,
    pub(super) restarts: Restarts,
    /// The thread that sits there, or did last.
    pub(super) thread: Option<JoinHandle<()>>,
    /// Threads that were left behind in a call.
    pub(super) behind: Vec<JoinHandle<()>>,
    /// It is to go, and who is told when it has gone.
    pub(super) gone: Option<oneshot::Sender<()>>,
    /// It has gone, or has never come.
    pub(super) is_gone: bool,
}

impl Slot {
    pub(super) fn new(state: StateStore, restarts: Restarts) -> Self {
        Self {
            generation: 0,
            occupant: Occupant::Taken(None),
            hands: Some(Box::new(InFlight { state, work: None, hung: None })),
            restarts,
            thread: None,
            behind: Vec::new(),
            gone: None,
            is_gone: false,
        }
    }

    /// Takes what lies there, if the slot is still that thread's.
    pub(super) fn take(&mut self, generation: u64) -> Option<Box<InFlight>> {
        if self.generation != generation {
            return None;
        }
        self.occupant = Occupant::Taken(None);
        self.hands.take()
    }

    /// Nobody sits there any more, if it was to go: gives who is to be told when the model is gone as well.
    pub(super) fn clear(&mut self) -> Option<oneshot::Sender<()>> {
        let gone = self.gone.take()?;
        (self.occupant, self.hands, self.is_gone) = (Occupant::Closed, None, true);
        Some(gone)
    }

    /// Whether nothing is left of it, its threads included.
    pub(super) fn is_deserted(&self) -> bool {
        self.is_gone && self.thread.iter().chain(&self.behind).all(JoinHandle::is_finished)
    }

    /// Takes the slot away from the thread that sits there.
    pub(super) fn evict(&mut self, now: Instant) {
        self.generation += 1;
        self.occupant = Occupant::Vacant(now);
        self.behind.retain(|thread| !thread.is_finished());
        self.behind.extend(self.thread.take());
    }
}
