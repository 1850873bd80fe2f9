//! The batch stage of one step: its queues, and the choice of the next batch for an instance.
//!
//! The stage reserves a slot of an instance first and cuts the batch then, as late as possible. Each instance has two slots:
//! while one batch runs, the memory of the next is filled. The number of instances can change at any time: `instance_pool`
//! holds the instances and `pool_resize` changes their number.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lockstep_engine::batch::BatchOrder;
use lockstep_engine::infer::gather::Gather;
use lockstep_engine::infer::job::Job;
use lockstep_engine::sharding::{Awaiting, ShardResize, owner};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use crate::failure::{Failures, PipelineFailure};
use crate::mailbox::Credit;
use crate::message::{Batch, BatchMessage, BatchRow, Order, QueuedRow};
use crate::panic_text::panic_text;
use crate::stage_actor::{Outbox, Stage};
use crate::unit_runtime::UnitRuntime;

mod batch_queue;
mod instance_pool;
mod pool_resize;

use batch_queue::{BatchQueue, orders};
use instance_pool::InstancePool;
pub use instance_pool::{FirstInstance, PoolParts};

/// Fills the memory of a batch that was cut at a time and that takes a slot; `None` if no bundle is left.
pub type PrepareBatch =
    Arc<dyn Fn(Vec<QueuedRow>, Timestamp, OwnedSemaphorePermit) -> Option<Batch> + Send + Sync>;

/// The batch stage of one step.
pub struct BatchStage {
    runtime: Arc<UnitRuntime>,
    prepare: PrepareBatch,
    pool: InstancePool,
    queues: Vec<BatchQueue>,
    /// The id of the next queue.
    next_queue: u64,
    /// The channel from which the instances of a shared queue take their orders; none if each has its own.
    shared: Option<Receiver<Order>>,
    moving: Option<QueueMove>,
    /// True once batches no longer wait for more bundles.
    is_flushed: bool,
    /// True once the stage watches the desired number of instances.
    is_watching: bool,
}

/// Streams that move between queues because the number of instances changes.
struct QueueMove {
    resize: ShardResize,
    /// Bundles that wait for the state of their stream, each with its time of arrival.
    awaiting: Awaiting<(Timestamp, QueuedRow)>,
}

impl BatchStage {
    /// Creates the stage of one step with the configured number of instances, which begin to load their models.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(parts: PoolParts, prepare: PrepareBatch) -> std::io::Result<(Self, Vec<FirstInstance>)> {
        let runtime = parts.runtime.clone();
        let count = runtime.spec().instances;
        let (mut pool, mut first) = (InstancePool::new(parts), Vec::new());
        let (queues, each) = if runtime.spec().is_stateful() { (count, 1) } else { (1, count) };
        let (mut senders, mut shared) = (Vec::new(), None);
        for _ in 0..queues {
            let (to, from) = orders();
            for _ in 0..each {
                first.push(pool.first(from.clone())?);
            }
            senders.push(to);
            shared = Some(from).filter(|_| !runtime.spec().is_stateful());
        }
        pool.publish_count();
        let mut stage = Self {
            runtime,
            prepare,
            pool,
            queues: Vec::new(),
            next_queue: 0,
            shared,
            moving: None,
            is_flushed: false,
            is_watching: false,
        };
        senders.into_iter().for_each(|to| stage.add_queue(to, each));
        Ok((stage, first))
    }

    fn publish_queued(&self) {
        self.pool.counts.set_queued(self.queues.iter().map(|queue| queue.batcher.len()).sum());
    }

    fn add_queue(&mut self, to: Sender<Order>, instances: usize) {
        let step = self.runtime.spec();
        let order = match (step.is_stateful(), &step.each) {
            (true, _) => BatchOrder::OnePerStream,
            (false, Some(_)) => BatchOrder::Turns,
            (false, None) => BatchOrder::Arrival,
        };
        let mut queue = BatchQueue::new(self.next_queue, &step.batch, order, to, instances);
        self.next_queue += 1;
        if self.is_flushed {
            queue.batcher.flush();
        }
        self.queues.push(queue);
    }

    /// Adds the rows of a bundle to their queue.
    fn enqueue(&mut self, job: &Arc<Job>, credit: Option<&Arc<Credit>>, now: Timestamp) {
        let step = self.runtime.index();
        if let Some(left_out) = job.gather(step).map(Gather::left_out).filter(|left_out| *left_out > 0) {
            telemetry::pictures::detections_left_out(&self.runtime.spec().name, left_out);
        }
        let queued = |number| {
            let row = BatchRow { job: job.clone(), number, ready_at: now };
            QueuedRow { row, credit: credit.cloned() }
        };
        let rows = job.rows(step);
        if rows > 1 {
            // Only a step without state runs several rows, and that has one queue.
            if let Some(queue) = self.queues.first_mut() {
                queue.batcher.push_all((0..rows).map(queued), now);
            }
        } else if let Some((queue, waiting)) = self.route(queued(0), now)
            && let Some(queue) = self.queues.get_mut(queue)
        {
            queue.batcher.push(waiting, now);
        }
    }

    /// Returns a row's queue, or `None` while the row waits for the state of its stream.
    fn route(&mut self, waiting: QueuedRow, now: Timestamp) -> Option<(usize, QueuedRow)> {
        if self.shared.is_some() {
            return Some((0, waiting));
        }
        let Some(QueueMove { resize, awaiting }) = &mut self.moving else {
            return Some((owner(&waiting.row.job.bundle.stream, self.queues.len()), waiting));
        };
        let stream = waiting.row.job.bundle.stream.clone();
        let (_, waiting) = awaiting.keep(&stream, (now, waiting), || false)?;
        Some((owner(&stream, resize.to), waiting))
    }

    /// Cuts the batches of a queue that are due and for which a slot is free.
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
            // The batcher needs the number of running batches, so it is asked even without a free slot.
            let go_at = queue.batcher.go_at(now, under_way);
            let Some(at) = go_at else { return queue.held.clear() };
            if queue.held.is_empty() || at > now {
                queue.go_at = Some(at).filter(|_| !queue.held.is_empty());
                if queue.held.is_empty() || under_way > 0 {
                    queue.request_slot(out);
                }
                return;
            }
            let Some(slot) = queue.held.pop() else { return };
            let waiting = queue.batcher.cut(now);
            telemetry::batch_chosen(&self.runtime.id, queue.batcher.chosen(), &costs.model);
            let (runtime, prepare) = (self.runtime.clone(), self.prepare.clone());
            let place = queue.place();
            let failures = self.pool.failures().clone();
            rayon::spawn(move || {
                let name = &runtime.spec().name;
                let batch = or_report(&failures, name, || prepare(waiting, now, slot));
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

/// Prepares a batch and reports a panic outside of its rows. No bundle is to blame for such a panic, so the pipeline ends and a
/// new one reads the bundles again. The panic does not reach the thread pool, where it would end the process.
fn or_report(failures: &Failures, step: &str, prepare: impl FnOnce() -> Option<Batch>) -> Option<Batch> {
    catch_unwind(AssertUnwindSafe(prepare)).unwrap_or_else(|panic| {
        telemetry::panicked("prepare");
        let why = format!("preparing a batch panicked: {}", panic_text(panic.as_ref()));
        failures.report(&format!("batch-{step}"), PipelineFailure::Restart(why));
        None
    })
}

impl Stage for BatchStage {
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
                    self.enqueue(&job, credit.as_ref(), now);
                }
                self.pump_all(now, out);
            }
            BatchMessage::Slot(id, slot) => {
                let Some(index) = self.queues.iter().position(|queue| queue.id == id) else { return };
                if let Some(queue) = self.queues.get_mut(index) {
                    queue.add_slot(slot);
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
        self.publish_queued();
    }

    fn tick(&mut self, now: Timestamp, _waiting: u64, out: &mut Outbox<BatchMessage>) {
        if !std::mem::replace(&mut self.is_watching, true) {
            self.watch_desired(out);
        }
        self.settle(now, out);
        self.pump_all(now, out);
        self.publish_queued();
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
    fn batch_stage_reports_a_panic_in_preparation() {
        let (failures, mut reports) = Failures::new(Arc::new(Status::default()));
        assert!(or_report(&failures, "faces", || None).is_none());
        assert!(reports.try_recv().is_err());
        assert!(or_report(&failures, "faces", || panic!("in the pool")).is_none());
        let failure = PipelineFailure::Restart("batch-faces: preparing a batch panicked: in the pool".into());
        assert_eq!(reports.try_recv(), Ok(failure));
    }
}
