//! The request to stop a pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

/// A request to stop a pipeline. Clones share it.
#[derive(Clone, Default)]
pub struct Stop(Arc<Request>);

#[derive(Default)]
struct Request {
    is_stopped: AtomicBool,
    notify: Notify,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Stop {
    /// Requests the stop.
    pub fn stop(&self) {
        self.0.is_stopped.store(true, Ordering::SeqCst);
        self.0.notify.notify_one();
        // Under the lock, so that a thread between its check and its wait does not miss the change.
        let _lock = self.0.lock.lock();
        self.0.changed.notify_all();
    }

    /// Returns true once the stop was requested.
    pub fn is_stopped(&self) -> bool {
        self.0.is_stopped.load(Ordering::SeqCst)
    }

    /// Waits for the request, for at most `longest`. Returns true if it has come.
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

    /// Waits for the request.
    pub(crate) async fn stopped(&self) {
        while !self.is_stopped() {
            self.0.notify.notified().await;
        }
    }
}
