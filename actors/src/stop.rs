//! How a pipeline is asked to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

/// Asks a pipeline to stop. Clones ask the same.
#[derive(Clone, Default)]
pub struct Stop(Arc<Asked>);

#[derive(Default)]
struct Asked {
    is_asked: AtomicBool,
    notify: Notify,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Stop {
    /// Asks.
    pub fn stop(&self) {
        self.0.is_asked.store(true, Ordering::SeqCst);
        self.0.notify.notify_one();
        // With the lock, so that nobody who has just looked misses it.
        let _lock = self.0.lock.lock();
        self.0.changed.notify_all();
    }

    /// Whether it has been asked.
    pub fn is_stopped(&self) -> bool {
        self.0.is_asked.load(Ordering::SeqCst)
    }

    /// Waits until it is asked, but no longer than that. Whether it has been.
    pub fn wait(&self, longest: Duration) -> bool {
        let until = Instant::now() + longest;
        let mut lock = self.0.lock.lock();
        while !self.is_stopped() {
            if self.0.changed.wait_until(&mut lock, until).timed_out() {
                break;
            }
        }
        self.is_stopped()
    }

    pub(crate) async fn asked(&self) {
        while !self.is_stopped() {
            self.0.notify.notified().await;
        }
    }
}
