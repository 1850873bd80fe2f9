//! Records in flight: sent, and not acknowledged yet.

use std::sync::atomic::{AtomicUsize, Ordering};

use std::sync::Arc;

use lockstep_engine::publish::transaction_window::TransactionWindow;
use lockstep_engine::time::Timestamp;
use parking_lot::{Condvar, Mutex};

/// The limit on bytes in flight.
pub(super) enum SendLimit {
    Fixed(usize),
    /// Follows the rate at which the brokers acknowledge, up to this maximum.
    Following(Arc<Mutex<TransactionWindow>>, usize),
}

/// Counts the records in flight, and signals when none are left.
pub(super) struct RecordsInFlight {
    limit: SendLimit,
    pub(super) count: AtomicUsize,
    bytes: AtomicUsize,
    pub(super) none: Condvar,
    pub(super) lock: Mutex<()>,
}

impl RecordsInFlight {
    pub(super) fn new(limit: SendLimit) -> Self {
        Self {
            limit,
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            none: Condvar::new(),
            lock: Mutex::new(()),
        }
    }

    /// Counts a record of `bytes` if it fits under the limit; a record that is alone always fits. Only one thread at a time may
    /// call this.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let there = self.bytes.load(Ordering::Acquire);
        let fits = |limit| there == 0 || there.saturating_add(bytes) <= limit;
        match &self.limit {
            SendLimit::Fixed(limit) if fits(*limit) => {}
            SendLimit::Following(window, most) => {
                let (mut window, now) = (window.lock(), Timestamp::now());
                if !fits(window.width(now).min(*most)) {
                    return false;
                }
                window.sent(bytes, now);
            }
            SendLimit::Fixed(_) => return false,
        }
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.count.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Releases the bytes of a record that was acknowledged, or not taken. The record counts until [`Self::ended`].
    pub(super) fn release(&self, bytes: usize, is_acknowledged: bool) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        if let SendLimit::Following(window, _) = &self.limit {
            match is_acknowledged {
                true => window.lock().acknowledged(bytes, Timestamp::now()),
                false => window.lock().withdrawn(bytes),
            }
        }
    }

    /// Takes back the count of a record that was not sent.
    pub(super) fn withdraw(&self, bytes: usize) {
        self.release(bytes, false);
        self.count.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn ended(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            // A thread that has just seen one record left waits by the time this lock is taken.
            drop(self.lock.lock());
            self.none.notify_all();
        }
    }
}
