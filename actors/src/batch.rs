//! The batch actor of one step: its queue, and who gets the next batch.
//!
//! A slot of an instance is reserved first and the batch cut then, so that it is cut as late as
//! possible. Each instance has two slots: while one batch runs, the memory of the next is filled.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::Sender;
use lockstep_engine::batch::{Batchable, Batcher};
use lockstep_engine::infer::job::Job;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::instance::Batch;
use crate::link::Permit;
use crate::prepare::{StepRuntime, prepare};
use crate::route::{Routes, spread};
use crate::shell::{Outbox, Room};

/// Batches that an instance may hold: one that runs and one that is prepared.
pub const SLOTS: usize = 2;

/// What a batch actor takes.
pub enum BatchMessage {
    /// Bundles that have all that the step needs.
    Jobs(Vec<Arc<Job>>),
    /// A slot of a lane's instances is ours.
    Slot(usize, OwnedSemaphorePermit),
    /// Whoever sends no more has sent all: from here on batches wait for nothing.
    Flush,
}

/// A bundle in the queue.
pub struct Waiting {
    /// The bundle.
    pub job: Arc<Job>,
    /// Since when it has had everything it needs.
    pub ready_at: Timestamp,
    /// The place in the link of the message that it came in, shared by all of that message.
    _permit: Option<Arc<Permit>>,
}

impl Batchable for Waiting {
    fn stream(&self) -> &StreamKey {
        &self.job.bundle.stream
    }

    fn event_time(&self) -> Timestamp {
        self.job.bundle.event_time
    }
}

/// A batch actor's room.
pub struct BatchRoom {
    runtime: Arc<StepRuntime>,
    lanes: Vec<Lane>,
    routes: Routes,
}

/// A queue and the instances that serve it: all instances of a model without state serve one; a model that
/// carries state has a lane for each instance, since a stream's state lives with one of them.
struct Lane {
    batcher: Batcher<Waiting>,
    instances: usize,
    slots: Arc<Semaphore>,
    held: Vec<OwnedSemaphorePermit>,
    asked: bool,
    /// When the next batch goes if nothing else happens.
    go_at: Option<Timestamp>,
    cut: u64,
    handoff: Arc<Handoff>,
}

impl Lane {
    /// Takes all slots that there are.
    fn hold(&mut self) {
        while let Ok(slot) = self.slots.clone().try_acquire_owned() {
            self.held.push(slot);
        }
    }

    /// Batches that were cut and have not ended.
    fn under_way(&self) -> usize {
        (self.instances * SLOTS).saturating_sub(self.slots.available_permits() + self.held.len())
    }

    /// Waits for the next slot, and so for the end of a batch, as the others are held.
    fn ask(&mut self, index: usize, out: &mut Outbox<BatchMessage>) {
        if std::mem::replace(&mut self.asked, true) {
            return;
        }
        let slots = self.slots.clone();
        out.later(async move {
            match slots.acquire_owned().await {
                Ok(slot) => BatchMessage::Slot(index, slot),
                // The semaphore is never closed; an empty message changes nothing.
                Err(_) => BatchMessage::Jobs(Vec::new()),
            }
        });
    }
}

impl BatchRoom {
    /// The room of one step. Each of `lanes` is where a lane's batches go, and how many instances take them.
    pub fn new(runtime: Arc<StepRuntime>, lanes: Vec<(Sender<Batch>, usize)>, routes: Routes) -> Self {
        let (policy, stateful) = (&runtime.step.batch, runtime.step.is_stateful());
        let lanes = lanes.into_iter().map(|(to, instances)| Lane {
            batcher: Batcher::new(policy.clone(), instances, stateful),
            instances,
            slots: Arc::new(Semaphore::new(instances * SLOTS)),
            held: Vec::new(),
            asked: false,
            go_at: None,
            cut: 0,
            handoff: Arc::new(Handoff::new(to)),
        });
        Self { lanes: lanes.collect(), runtime, routes }
    }

    fn pump(&mut self, index: usize, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        let Some(lane) = self.lanes.get_mut(index) else { return };
        lane.go_at = None;
        if lane.batcher.is_empty() {
            return lane.held.clear();
        }
        lane.batcher.limit(self.runtime.most());
        let costs = self.runtime.costs();
        lane.batcher.learn(costs);
        lane.hold();
        loop {
            let under_way = lane.under_way();
            // Asked whether or not there is a slot, since it counts how many batches are under way.
            let go_at = lane.batcher.go_at(now, under_way);
            let Some(at) = go_at else { return lane.held.clear() };
            if lane.held.is_empty() || at > now {
                lane.go_at = Some(at).filter(|_| !lane.held.is_empty());
                if lane.held.is_empty() || under_way > 0 {
                    lane.ask(index, out);
                }
                return;
            }
            let Some(slot) = lane.held.pop() else { return };
            let waiting = lane.batcher.cut(now);
            telemetry::batch_chosen(&self.runtime.step.name, lane.batcher.chosen(), &costs.model);
            let (runtime, routes) = (self.runtime.clone(), self.routes.clone());
            let (handoff, number) = (lane.handoff.clone(), lane.cut);
            lane.cut += 1;
            rayon::spawn(move || handoff.put(number, prepare(&runtime, &routes, waiting, now, slot)));
        }
    }

    fn pump_all(&mut self, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        for lane in 0..self.lanes.len() {
            self.pump(lane, now, out);
        }
    }
}

impl Room for BatchRoom {
    type Message = BatchMessage;

    fn handle(
        &mut self,
        message: BatchMessage,
        permit: &mut Option<Permit>,
        now: Timestamp,
        out: &mut Outbox<BatchMessage>,
    ) {
        match message {
            BatchMessage::Jobs(jobs) => {
                let permit = permit.take().map(Arc::new);
                for job in jobs {
                    let lane = spread(&job.bundle.stream, self.lanes.len());
                    if let Some(lane) = self.lanes.get_mut(lane) {
                        let waiting = Waiting { job, ready_at: now, _permit: permit.clone() };
                        lane.batcher.push(waiting, now);
                    }
                }
                self.pump_all(now, out);
            }
            BatchMessage::Slot(index, slot) => {
                if let Some(lane) = self.lanes.get_mut(index) {
                    lane.asked = false;
                    lane.held.push(slot);
                }
                self.pump(index, now, out);
            }
            BatchMessage::Flush => {
                self.lanes.iter_mut().for_each(|lane| lane.batcher.flush());
                self.pump_all(now, out);
            }
        }
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        self.pump_all(now, out);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.lanes.iter().filter_map(|lane| lane.go_at).min()
    }
}

/// Hands batches to instances in the order in which they were cut, though they are filled in any order.
struct Handoff {
    to: Sender<Batch>,
    early: Mutex<(u64, BTreeMap<u64, Option<Batch>>)>,
}

impl Handoff {
    fn new(to: Sender<Batch>) -> Self {
        Self { to, early: Mutex::new((0, BTreeMap::new())) }
    }

    /// Batch number `number` is filled, or nothing is left of it.
    fn put(&self, number: u64, batch: Option<Batch>) {
        let mut early = self.early.lock();
        let (next, waiting) = &mut *early;
        waiting.insert(number, batch);
        while let Some(batch) = waiting.remove(next) {
            *next += 1;
            if let Some(batch) = batch {
                // There is room: the channel holds as many as there are slots. An error means that the
                // instances are gone, and with them the pipeline.
                let _ = self.to.send(batch);
            }
        }
    }
}
