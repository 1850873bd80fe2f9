//! What a producer has been given and has not told of.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

/// How many records are under way, and word when there are none.
#[derive(Default)]
pub(super) struct UnderWay {
    pub(super) count: AtomicUsize,
    bytes: AtomicUsize,
    pub(super) none: Condvar,
    pub(super) lock: Mutex<()>,
}

impl UnderWay {
    /// Counts a record of so many bytes if a window has room for it: for one alone it always has. Only one thread at a time
    /// takes room.
    pub(super) fn takes_room(&self, bytes: usize, window: usize) -> bool {
        let there = self.bytes.load(Ordering::Acquire);
        if there > 0 && there.saturating_add(bytes) > window {
            return false;
        }
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.count.fetch_add(1, Ordering::AcqRel);
        true
    }

    pub(super) fn makes_room(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    pub(super) fn ended(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Whoever has just seen one left waits by now.
            drop(self.lock.lock());
            self.none.notify_all();
        }
    }
}
