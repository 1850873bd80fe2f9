//! Wakes threads that wait for a change or for a time.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// A notification with a count, so that no notification between a check and a wait is missed.
#[derive(Debug, Default)]
pub struct Notify {
    state: Mutex<NotifyState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct NotifyState {
    count: u64,
    is_closing: bool,
}

impl Notify {
    /// Wakes all waiting threads.
    pub fn notify(&self) {
        self.state.lock().count += 1;
        self.changed.notify_all();
    }

    /// Wakes all waiting threads for the end.
    pub fn close(&self) {
        self.state.lock().is_closing = true;
        self.changed.notify_all();
    }

    /// Returns the number of notifications. A thread reads it before the check that decides on a wait.
    pub fn count(&self) -> u64 {
        self.state.lock().count
    }

    /// Waits for a notification after `count`, for `until`, or for the end. Returns false at the end.
    pub fn wait(&self, count: u64, until: Instant) -> bool {
        let mut state = self.state.lock();
        while state.count == count && !state.is_closing {
            if self.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        !state.is_closing
    }
}
