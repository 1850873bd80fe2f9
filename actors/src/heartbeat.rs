//! The heartbeat of an actor: its counts of messages given and messages done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lockstep_engine::supervision::stall::MessageCounts;

/// Counts an actor's work.
#[derive(Debug, Default)]
pub struct Heartbeat {
    given: AtomicU64,
    done: AtomicU64,
    is_blocked: AtomicBool,
    /// Nanoseconds.
    busy: AtomicU64,
}

impl Heartbeat {
    /// Counts a message on its way to the actor, or a call that the actor makes of itself. It is done when the beat is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Beat {
        self.given.fetch_add(1, Ordering::Relaxed);
        Beat(self.clone())
    }

    /// Marks the actor as blocked by a full mailbox downstream.
    pub(crate) fn blocked(&self) {
        self.is_blocked.store(true, Ordering::Relaxed);
    }

    /// Adds working time, without the time spent blocked.
    pub(crate) fn worked(&self, time: Duration) {
        self.busy.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns the working time so far.
    pub(crate) fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy.load(Ordering::Relaxed))
    }

    /// Returns the number of messages given and not done.
    pub(crate) fn left(&self) -> u64 {
        let tally = self.tally();
        tally.given.saturating_sub(tally.done)
    }

    pub(crate) fn tally(&self) -> MessageCounts {
        MessageCounts {
            given: self.given.load(Ordering::Relaxed),
            done: self.done.load(Ordering::Relaxed),
            waits: self.is_blocked.load(Ordering::Relaxed),
        }
    }
}

/// One message of an actor, from its sending until all messages that it led to have been accepted.
#[derive(Debug)]
pub struct Beat(Arc<Heartbeat>);

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.is_blocked.store(false, Ordering::Relaxed);
        self.0.done.fetch_add(1, Ordering::Relaxed);
    }
}
