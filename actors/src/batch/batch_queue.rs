//! A queue of bundles with the slots of the instances that serve it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lockstep_engine::batch::{BatchOrder, BatchPolicy, Batcher};
use lockstep_engine::scaling::MOST_INSTANCES;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::message::{BatchMessage, Order, QueuedRow};
use crate::stage_actor::Outbox;

/// Batches that an instance may hold: one that runs and one that is prepared.
pub(super) const SLOTS: usize = 2;

/// A queue of bundles with the slots of its instances. All instances of a model without state serve one queue. A model with
/// stream state has a queue for each instance, since one instance holds a stream's state.
pub(super) struct BatchQueue {
    /// An id that no other queue of the step has had, so that slots for a removed queue are dropped.
    pub(super) id: u64,
    pub(super) batcher: Batcher<QueuedRow>,
    instances: usize,
    slots: Arc<Semaphore>,
    /// Slots of removed instances that still have to be taken out.
    excess: usize,
    pub(super) held: Vec<OwnedSemaphorePermit>,
    is_slot_requested: bool,
    /// The time at which the next batch goes if no bundle arrives.
    pub(super) go_at: Option<Timestamp>,
    numbered: u64,
    handoff: Arc<Handoff>,
}

impl BatchQueue {
    /// Creates a queue that sends its orders to `to`.
    pub(super) fn new(
        id: u64,
        policy: &BatchPolicy,
        order: BatchOrder,
        to: Sender<Order>,
        instances: usize,
    ) -> Self {
        Self {
            id,
            batcher: Batcher::new(policy.clone(), instances, order),
            instances,
            slots: Arc::new(Semaphore::new(instances * SLOTS)),
            excess: 0,
            held: Vec::new(),
            is_slot_requested: false,
            go_at: None,
            numbered: 0,
            handoff: Arc::new(Handoff::new(to)),
        }
    }

    /// Adds an instance.
    pub(super) fn grow(&mut self) {
        self.instances += 1;
        self.batcher.serve(self.instances);
        let lingering = self.excess.min(SLOTS);
        self.excess -= lingering;
        self.slots.add_permits(SLOTS - lingering);
    }

    /// Removes an instance. Its slots go once batches have returned them.
    pub(super) fn shrink(&mut self) {
        self.instances = self.instances.saturating_sub(1);
        self.batcher.serve(self.instances);
        self.excess += SLOTS;
    }

    /// Takes all free slots.
    pub(super) fn hold(&mut self) {
        while let Ok(slot) = self.slots.clone().try_acquire_owned() {
            self.held.push(slot);
        }
        while self.excess > 0
            && let Some(slot) = self.held.pop()
        {
            slot.forget();
            self.excess -= 1;
        }
    }

    /// Returns the number of batches that were cut and have not ended.
    pub(super) fn under_way(&self) -> usize {
        let all = self.instances * SLOTS + self.excess;
        all.saturating_sub(self.slots.available_permits() + self.held.len())
    }

    /// Waits for the next slot, and so for the end of a batch, since the queue holds all free slots.
    pub(super) fn request_slot(&mut self, out: &mut Outbox<BatchMessage>) {
        if std::mem::replace(&mut self.is_slot_requested, true) {
            return;
        }
        let (slots, id) = (self.slots.clone(), self.id);
        out.later(async move {
            match slots.acquire_owned().await {
                Ok(slot) => BatchMessage::Slot(id, slot),
                // The semaphore is never closed; an empty message changes nothing.
                Err(_) => BatchMessage::Jobs(Vec::new()),
            }
        });
    }

    /// Adds the requested slot.
    pub(super) fn add_slot(&mut self, slot: OwnedSemaphorePermit) {
        self.is_slot_requested = false;
        self.held.push(slot);
    }

    /// Returns the next place in the sequence of orders.
    pub(super) fn place(&mut self) -> QueuePlace {
        let number = self.numbered;
        self.numbered += 1;
        QueuePlace { handoff: self.handoff.clone(), number }
    }
}

/// The place of an order among those of its queue.
pub(super) struct QueuePlace {
    handoff: Arc<Handoff>,
    number: u64,
}

impl QueuePlace {
    /// Fills the place with its order, or leaves it empty.
    pub(super) fn fill(self, order: Option<Order>) {
        self.handoff.put(self.number, order);
    }
}

/// Sends orders to instances in the order of their places, though batches are filled in any order.
struct Handoff {
    to: Sender<Order>,
    early: Mutex<(u64, BTreeMap<u64, Option<Order>>)>,
}

impl Handoff {
    fn new(to: Sender<Order>) -> Self {
        Self { to, early: Mutex::new((0, BTreeMap::new())) }
    }

    fn put(&self, number: u64, order: Option<Order>) {
        let mut early = self.early.lock();
        let (next, waiting) = &mut *early;
        waiting.insert(number, order);
        while let Some(order) = waiting.remove(next) {
            *next += 1;
            if let Some(order) = order {
                // An error means that the instances have ended, and the pipeline with them.
                let _ = self.to.send(order);
            }
        }
    }
}

/// Creates the channel of a queue's orders, with capacity for all orders that can be pending. Instances that share a queue
/// have one batch a slot. An instance with its own queue has two batches, one order to hand over, and orders to adopt: one
/// from each other queue when it came, and one from each queue that was removed since it last handed over.
pub(super) fn orders() -> (Sender<Order>, Receiver<Order>) {
    crossbeam_channel::bounded(4 * MOST_INSTANCES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_queue_keeps_two_slots_an_instance_during_changes() {
        let (to, _from) = orders();
        let mut queue = BatchQueue::new(0, &BatchPolicy::default(), BatchOrder::Arrival, to, 3);
        queue.hold();
        assert_eq!((queue.held.len(), queue.under_way()), (6, 0));
        let mut under_way = queue.held.split_off(1);
        queue.shrink();
        queue.shrink();
        queue.hold();
        assert_eq!(
            (queue.held.len(), queue.under_way()),
            (0, 5),
            "one slot has gone and three are to follow"
        );
        under_way.truncate(3);
        queue.hold();
        assert_eq!((queue.held.len(), queue.under_way()), (0, 3));
        // One slot is still too many; of the two that come with another instance it is the first.
        queue.grow();
        queue.hold();
        assert_eq!((queue.held.len(), queue.under_way()), (1, 3));
        under_way.clear();
        queue.hold();
        assert_eq!((queue.held.len(), queue.under_way()), (4, 0));
    }
}
