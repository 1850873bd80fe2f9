//! A queue of bundles, and the slots of the instances that serve it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lockstep_engine::batch::{BatchPolicy, Batcher};
use lockstep_engine::scaling::MOST_INSTANCES;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{BatchMessage, SLOTS, Waiting};
use crate::instance::Order;
use crate::stage_actor::Outbox;

/// A queue and the instances that serve it: all instances of a model without state serve one; a model that
/// carries state has a queue for each instance, since a stream's state lives with one of them.
pub(super) struct BatchQueue {
    /// No other queue of the step has had it: what is on its way to a queue that is gone goes nowhere.
    pub(super) id: u64,
    pub(super) batcher: Batcher<Waiting>,
    instances: usize,
    slots: Arc<Semaphore>,
    /// Slots of instances that have gone, which are still to be taken out.
    excess: usize,
    pub(super) held: Vec<OwnedSemaphorePermit>,
    asked: bool,
    /// When the next batch goes if nothing else happens.
    pub(super) go_at: Option<Timestamp>,
    numbered: u64,
    handoff: Arc<Handoff>,
}

impl BatchQueue {
    /// A queue whose orders go there. With `one_per_stream` no batch has two bundles of a stream.
    pub(super) fn new(
        id: u64,
        policy: &BatchPolicy,
        one_per_stream: bool,
        to: Sender<Order>,
        instances: usize,
    ) -> Self {
        Self {
            id,
            batcher: Batcher::new(policy.clone(), instances, one_per_stream),
            instances,
            slots: Arc::new(Semaphore::new(instances * SLOTS)),
            excess: 0,
            held: Vec::new(),
            asked: false,
            go_at: None,
            numbered: 0,
            handoff: Arc::new(Handoff::new(to)),
        }
    }

    /// One more serves it.
    pub(super) fn grow(&mut self) {
        self.instances += 1;
        self.batcher.serve(self.instances);
        let lingering = self.excess.min(SLOTS);
        self.excess -= lingering;
        self.slots.add_permits(SLOTS - lingering);
    }

    /// One less serves it. Its slots go when batches have given them back.
    pub(super) fn shrink(&mut self) {
        self.instances = self.instances.saturating_sub(1);
        self.batcher.serve(self.instances);
        self.excess += SLOTS;
    }

    /// Takes all slots that there are.
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

    /// Batches that were cut and have not ended.
    pub(super) fn under_way(&self) -> usize {
        let all = self.instances * SLOTS + self.excess;
        all.saturating_sub(self.slots.available_permits() + self.held.len())
    }

    /// Waits for the next slot, and so for the end of a batch, as the others are held.
    pub(super) fn ask(&mut self, out: &mut Outbox<BatchMessage>) {
        if std::mem::replace(&mut self.asked, true) {
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

    /// The slot that was waited for has come.
    pub(super) fn got(&mut self, slot: OwnedSemaphorePermit) {
        self.asked = false;
        self.held.push(slot);
    }

    /// The next place in the order in which instances are given orders.
    pub(super) fn place(&mut self) -> Place {
        let number = self.numbered;
        self.numbered += 1;
        Place { handoff: self.handoff.clone(), number }
    }
}

/// Where an order stands among those of its queue.
pub(super) struct Place {
    handoff: Arc<Handoff>,
    number: u64,
}

impl Place {
    /// The order that stands there, if there is one after all.
    pub(super) fn fill(self, order: Option<Order>) {
        self.handoff.put(self.number, order);
    }
}

/// InFlight orders to instances in the order in which they were given, though batches are filled in any order.
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
                // An error means that the instances are gone, and with them the pipeline.
                let _ = self.to.send(order);
            }
        }
    }
}

/// Where a queue's orders go, and where its instances take them. There is room for all that can be there. Instances that
/// share a queue have a batch for each slot. One with a queue of its own has two batches, an order to hand over, and what
/// is to be adopted: one from each other queue when it came, and one from each that went since it handed over last.
pub(super) fn orders() -> (Sender<Order>, Receiver<Order>) {
    crossbeam_channel::bounded(4 * MOST_INSTANCES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_two_slots_for_each_instance_though_batches_are_under_way_when_their_number_changes() {
        let (to, _from) = orders();
        let mut queue = BatchQueue::new(0, &BatchPolicy::default(), false, to, 3);
        queue.hold();
        assert_eq!((queue.held.len(), queue.under_way()), (6, 0));
        let mut under_way = queue.held.split_off(1);
        queue.shrink();
        queue.shrink();
        queue.hold();
        assert_eq!((queue.held.len(), queue.under_way()), (0, 5), "one has gone, and three are to follow");
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
