//! The batch actor of one step: its queue, and who gets the next batch.
//!
//! A slot of an instance is reserved first and the batch cut then, so that it is cut as late as
//! possible. Each instance has two slots: while one batch runs, the memory of the next is filled. How many instances there
//! are can change at any time: `pool` knows them, `number` changes their number.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lockstep_engine::batch::Batchable;
use lockstep_engine::infer::job::Job;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use crate::failure::Failures;
use crate::instance::{Batch, Order};
use crate::mailbox::Credit;
use crate::prepare::{StepRuntime, prepare};
use crate::route::Routes;
use crate::stage_actor::{Outbox, Stage, panic_text};

mod batch_queue;
mod instance_pool;
mod pool_resize;

use batch_queue::{BatchQueue, orders};
use instance_pool::InstancePool;
pub use instance_pool::{CrewParts, First};
pub use pool_resize::Change;
use pool_resize::Moving;

/// Batches that an instance may hold: one that runs and one that is prepared.
pub const SLOTS: usize = 2;

/// What a batch actor takes.
pub enum BatchMessage {
    /// Bundles that have all that the step needs.
    Jobs(Vec<Arc<Job>>),
    /// A slot of the instances of the queue with that id is ours.
    Slot(u64, OwnedSemaphorePermit),
    /// Whoever sends no more has sent all: from here on batches wait for nothing.
    Flush,
    /// The number of instances changes.
    Change(Change),
}

/// A bundle in the queue.
pub struct Waiting {
    /// The bundle.
    pub job: Arc<Job>,
    /// Since when it has had everything it needs.
    pub ready_at: Timestamp,
    /// The place in the link of the message that it came in, shared by all of that message.
    _permit: Option<Arc<Credit>>,
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
    routes: Routes,
    pool: InstancePool,
    queues: Vec<BatchQueue>,
    /// The id of the next queue.
    next_lane: u64,
    /// Where the instances of the one queue take their orders, if they share one.
    shared: Option<Receiver<Order>>,
    moving: Option<Moving>,
    /// Whether batches wait for nothing any more.
    is_flushed: bool,
    /// Whether it hears of other numbers of instances.
    listens: bool,
}

impl BatchRoom {
    /// The room of one step, with as many instances as the file says. Their models are being loaded.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(parts: CrewParts) -> std::io::Result<(Self, Vec<First>)> {
        let (runtime, routes) = (parts.runtime.clone(), parts.routes.clone());
        let count = runtime.step.instances;
        let (mut pool, mut first) = (InstancePool::new(parts), Vec::new());
        let (queues, each) = if runtime.step.is_stateful() { (count, 1) } else { (1, count) };
        let (mut senders, mut shared) = (Vec::new(), None);
        for _ in 0..queues {
            let (to, from) = orders();
            for _ in 0..each {
                first.push(pool.first(from.clone())?);
            }
            senders.push(to);
            shared = Some(from).filter(|_| !runtime.step.is_stateful());
        }
        pool.tell();
        let mut room = Self {
            runtime,
            routes,
            pool,
            queues: Vec::new(),
            next_lane: 0,
            shared,
            moving: None,
            is_flushed: false,
            listens: false,
        };
        senders.into_iter().for_each(|to| room.add_lane(to, each));
        Ok((room, first))
    }

    fn add_lane(&mut self, to: Sender<Order>, instances: usize) {
        let step = &self.runtime.step;
        let mut queue = BatchQueue::new(self.next_lane, &step.batch, step.is_stateful(), to, instances);
        self.next_lane += 1;
        if self.is_flushed {
            queue.batcher.flush();
        }
        self.queues.push(queue);
    }

    fn pump(&mut self, index: usize, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        let Some(queue) = self.queues.get_mut(index) else { return };
        queue.go_at = None;
        if queue.batcher.is_empty() {
            return queue.held.clear();
        }
        queue.batcher.set_wall_ahead(Timestamp::wall_ahead());
        queue.batcher.limit(self.runtime.most());
        let costs = self.runtime.costs();
        queue.batcher.learn(costs);
        queue.hold();
        loop {
            let under_way = queue.under_way();
            // Desired whether or not there is a slot, since it counts how many batches are under way.
            let go_at = queue.batcher.go_at(now, under_way);
            let Some(at) = go_at else { return queue.held.clear() };
            if queue.held.is_empty() || at > now {
                queue.go_at = Some(at).filter(|_| !queue.held.is_empty());
                if queue.held.is_empty() || under_way > 0 {
                    queue.ask(out);
                }
                return;
            }
            let Some(slot) = queue.held.pop() else { return };
            let waiting = queue.batcher.cut(now);
            telemetry::batch_chosen(&self.runtime.step.name, queue.batcher.chosen(), &costs.model);
            let (runtime, routes) = (self.runtime.clone(), self.routes.clone());
            let place = queue.place();
            let failures = self.pool.failures().clone();
            rayon::spawn(move || {
                let name = &runtime.step.name;
                let batch = or_report(&failures, name, || prepare(&runtime, &routes, waiting, now, slot));
                place.fill(batch.map(Order::Batch));
            });
        }
    }

    fn pump_all(&mut self, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        for queue in 0..self.queues.len() {
            self.pump(queue, now, out);
        }
    }
}

/// Prepares a batch. What panics in it beside the making of rows is nobody's fault whose bundle could be blamed: the
/// pipeline ends, and a new one reads those bundles again. Nothing panics into the pool, which would end the process.
fn or_report(failures: &Failures, step: &str, prepare: impl FnOnce() -> Option<Batch>) -> Option<Batch> {
    catch_unwind(AssertUnwindSafe(prepare)).unwrap_or_else(|panic| {
        telemetry::panicked("prepare");
        let why = format!("preparing a batch panicked: {}", panic_text(panic.as_ref()));
        failures.report(&format!("batch-{step}"), &why);
        None
    })
}

impl Stage for BatchRoom {
    type Message = BatchMessage;

    fn handle(
        &mut self,
        message: BatchMessage,
        credit: &mut Option<Credit>,
        now: Timestamp,
        out: &mut Outbox<BatchMessage>,
    ) {
        match message {
            BatchMessage::Jobs(jobs) => {
                let credit = credit.take().map(Arc::new);
                for job in jobs {
                    let waiting = Waiting { job, ready_at: now, _permit: credit.clone() };
                    if let Some((queue, waiting)) = self.route(waiting, now)
                        && let Some(queue) = self.queues.get_mut(queue)
                    {
                        queue.batcher.push(waiting, now);
                    }
                }
                self.pump_all(now, out);
            }
            BatchMessage::Slot(id, slot) => {
                let Some(index) = self.queues.iter().position(|queue| queue.id == id) else { return };
                if let Some(queue) = self.queues.get_mut(index) {
                    queue.got(slot);
                }
                self.pump(index, now, out);
            }
            BatchMessage::Change(change) => self.change(change, now, out),
            BatchMessage::Flush => {
                self.is_flushed = true;
                self.queues.iter_mut().for_each(|queue| queue.batcher.flush());
                self.pump_all(now, out);
            }
        }
    }

    fn tick(&mut self, now: Timestamp, _waiting: u64, out: &mut Outbox<BatchMessage>) {
        if !std::mem::replace(&mut self.listens, true) {
            self.listen(out);
        }
        self.settle(now, out);
        self.pump_all(now, out);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.queues.iter().filter_map(|queue| queue.go_at).chain(self.next_try()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    #[test]
    fn a_panic_while_a_batch_is_prepared_is_reported_and_goes_no_further() {
        let (failures, mut reports) = Failures::new(Arc::new(Status::default()));
        assert!(or_report(&failures, "faces", || None).is_none());
        assert!(reports.try_recv().is_err());
        assert!(or_report(&failures, "faces", || panic!("in the pool")).is_none());
        let (why, _) = reports.try_recv().expect("a report");
        assert_eq!(why, "batch-faces: preparing a batch panicked: in the pool");
    }
}
