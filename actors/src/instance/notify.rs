//! Wakes those who wait for a time to come or for something to change before.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// A notify with a count, so that no ringing between a look and a wait goes unheard.
#[derive(Debug, Default)]
pub struct Notify {
    rung: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    count: u64,
    is_closing: bool,
}

impl Notify {
    /// Something has changed.
    pub fn ring(&self) {
        self.rung.lock().count += 1;
        self.changed.notify_all();
    }

    /// All come to an end.
    pub fn close(&self) {
        self.rung.lock().is_closing = true;
        self.changed.notify_all();
    }

    /// Whether all come to an end.
    pub fn is_closing(&self) -> bool {
        self.rung.lock().is_closing
    }

    /// How often it was rung; to be asked for before the look that decides whether to wait.
    pub fn count(&self) -> u64 {
        self.rung.lock().count
    }

    /// Waits for that time, for a ringing after `count`, or for the end, whichever comes first. Whether to go on.
    pub fn wait(&self, count: u64, until: Instant) -> bool {
        let mut rung = self.rung.lock();
        while rung.count == count && !rung.is_closing {
            if self.changed.wait_until(&mut rung, until).timed_out() {
                break;
            }
        }
        !rung.is_closing
    }
}
