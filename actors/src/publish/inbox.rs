//! The inbox for deliveries and ended transactions, which the sink's threads fill.

use lockstep_engine::publish::sink::{Delivery, Ended};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Deliveries that publish has not handled. Their number is bounded by the records that the sink takes at a time.
#[derive(Default)]
pub struct Inbox {
    deliveries: Mutex<Vec<Delivery>>,
    /// The outcome of the transaction that was ending.
    ended: Mutex<Option<Ended>>,
    arrived: Notify,
}

impl Inbox {
    /// Adds a delivery. The sink calls it.
    pub fn put(&self, delivery: Delivery) {
        self.deliveries.lock().push(delivery);
        self.arrived.notify_one();
    }

    /// Sets the outcome of an ended transaction.
    pub(super) fn put_ended(&self, ended: Ended) {
        *self.ended.lock() = Some(ended);
        self.arrived.notify_one();
    }

    /// Waits for the next entry.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Swaps the deliveries into `into`, which must be empty and becomes the memory for the next ones.
    pub(super) fn take(&self, into: &mut Vec<Delivery>) {
        std::mem::swap(&mut *self.deliveries.lock(), into);
    }

    pub(super) fn take_ended(&self) -> Option<Ended> {
        self.ended.lock().take()
    }
}
