//! What an instance's threads hand to one another.

use std::thread::JoinHandle;
use std::time::Instant;

use lockstep_engine::control::restart::Restarts;
use lockstep_engine::infer::state::StateStore;

use super::work::Work;

/// What a thread holds in its hands, and lays on the desk while it calls the model or when it leaves.
pub(super) struct Hands {
    /// What the streams carry on.
    pub(super) state: StateStore,
    /// The batch that has not ended.
    pub(super) work: Option<Work>,
    /// Why the call did not come back that was under way when a thread was left behind.
    pub(super) hung: Option<String>,
}

/// Who sits at the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// A thread; while it calls the model, until when that must have come back.
    Taken(Option<Instant>),
    /// Nobody, until then.
    Vacant(Instant),
    /// Nobody any more.
    Closed,
}

/// The desk of one instance.
pub(super) struct Desk {
    /// Which thread may sit at it, counted from 0.
    pub(super) generation: u64,
    pub(super) seat: Seat,
    /// On the desk: before a thread has sat down, while a model is called, and after a thread has left.
    pub(super) hands: Option<Box<Hands>>,
    pub(super) restarts: Restarts,
    /// The thread that sits there, or did last.
    pub(super) thread: Option<JoinHandle<()>>,
    /// Threads that were left behind in a call.
    pub(super) behind: Vec<JoinHandle<()>>,
}

impl Desk {
    pub(super) fn new(state: StateStore, restarts: Restarts) -> Self {
        Self {
            generation: 0,
            seat: Seat::Taken(None),
            hands: Some(Box::new(Hands { state, work: None, hung: None })),
            restarts,
            thread: None,
            behind: Vec::new(),
        }
    }

    /// Takes what lies there, if the desk is still that thread's.
    pub(super) fn take(&mut self, generation: u64) -> Option<Box<Hands>> {
        if self.generation != generation {
            return None;
        }
        self.seat = Seat::Taken(None);
        self.hands.take()
    }

    /// Takes the desk away from the thread that sits there.
    pub(super) fn evict(&mut self, now: Instant) {
        self.generation += 1;
        self.seat = Seat::Vacant(now);
        self.behind.retain(|thread| !thread.is_finished());
        self.behind.extend(self.thread.take());
    }
}
