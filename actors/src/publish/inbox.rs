//! Where the sink's threads put what they have to tell.

use lockstep_engine::publish::sink::{Delivery, Ended};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What has been told and not yet been looked at. Bounded by what the sink itself takes at a time.
#[derive(Default)]
pub struct Inbox {
    deliveries: Mutex<Vec<Delivery>>,
    /// How the transaction that was to end has ended.
    ended: Mutex<Option<Ended>>,
    arrived: Notify,
}

impl Inbox {
    /// Called by the sink.
    pub fn put(&self, delivery: Delivery) {
        self.deliveries.lock().push(delivery);
        self.arrived.notify_one();
    }

    /// Called when a transaction has ended.
    pub(super) fn put_ended(&self, ended: Ended) {
        *self.ended.lock() = Some(ended);
        self.arrived.notify_one();
    }

    /// Waits until something has been put.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes what has been put, and gives room for what follows: `into` is empty.
    pub(super) fn take(&self, into: &mut Vec<Delivery>) {
        std::mem::swap(&mut *self.deliveries.lock(), into);
    }

    pub(super) fn take_ended(&self) -> Option<Ended> {
        self.ended.lock().take()
    }
}
