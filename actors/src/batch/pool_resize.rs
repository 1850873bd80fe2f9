//! Changes of the number of instances while bundles come.
//!
//! The stage compares the desired number with the current one when the desired number changes and at the end of each change.
//! It makes one change at a time. A new instance loads its model off the data path and takes batches once the model is
//! loaded. If it is not wanted any more by then, it leaves again.
//!
//! Instances without state share one queue, so a change only adds or removes slots. Instances with stream state have a queue
//! each, and streams move between the queues by the rule of [`lockstep_engine::sharding`]. The bundles of a moving stream wait
//! until the stream's state has arrived; other streams go on. The order to hand over follows all batches that were cut, so
//! the handed-over state includes them. The order to adopt precedes all batches that are cut afterwards.

use lockstep_engine::infer::state::HandedOver;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::scaling::MOST_INSTANCES;
use lockstep_engine::sharding::{Awaiting, ShardResize, owner};
use lockstep_engine::time::Timestamp;
use tokio::sync::oneshot;

use super::batch_queue::{BatchQueue, orders};
use super::{BatchStage, QueueMove};
use crate::message::{BatchMessage, Order, PoolChange, QueuedRow};
use crate::stage_actor::Outbox;

impl BatchStage {
    pub(super) fn change(&mut self, change: PoolChange, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        match change {
            PoolChange::Desired => self.watch_desired(out),
            PoolChange::Loaded(outcome) => self.pool.loaded(outcome, now),
            PoolChange::HandedOver(giver, given) => self.handed_over(giver, given, out),
            PoolChange::Gone(number) => self.pool.gone(number),
        }
        self.settle(now, out);
        self.pump_all(now, out);
    }

    /// Waits for the next change of the desired number.
    pub(super) fn watch_desired(&self, out: &mut Outbox<BatchMessage>) {
        let mut asked = self.pool.counts.changes();
        out.later(async move {
            match asked.changed().await {
                Ok(()) => BatchMessage::Change(PoolChange::Desired),
                // The sender outlives all actors, so this does not happen.
                Err(_) => std::future::pending().await,
            }
        });
    }

    /// Takes the next steps towards the desired number.
    pub(super) fn settle(&mut self, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        while self.moving.is_none()
            && let Some(asked) = self.pool.counts.desired()
        {
            let (asked, present) = (asked.clamp(1, MOST_INSTANCES), self.pool.len());
            if asked < present {
                self.fewer(asked, out);
            } else if self.pool.has_loaded() {
                if asked > present { self.one_more(out) } else { self.pool.turn_away(out) }
            } else {
                if asked > present && self.pool.may_load(now) {
                    self.load(now, out);
                }
                return;
            }
        }
    }

    /// Returns the time of the next try to load a model after a failed one.
    pub(super) fn next_try(&self) -> Option<Timestamp> {
        let is_wanted = self.pool.counts.desired().is_some_and(|asked| asked > self.pool.len());
        self.pool.not_before().filter(|_| is_wanted)
    }

    fn load(&mut self, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        let (to, orders) = match &self.shared {
            Some(from) => (None, from.clone()),
            None => {
                let (to, from) = orders();
                (Some(to), from)
            }
        };
        self.pool.load(to, orders, now, out);
    }

    fn one_more(&mut self, out: &mut Outbox<BatchMessage>) {
        let present = self.pool.len();
        let Some(to) = self.pool.join() else {
            self.queues.iter_mut().for_each(BatchQueue::grow);
            return self.pool.publish_count();
        };
        self.add_queue(to, 1);
        self.begin(ShardResize { from: present, to: present + 1 }, out);
    }

    fn fewer(&mut self, to: usize, out: &mut Outbox<BatchMessage>) {
        if self.shared.is_none() {
            return self.begin(ShardResize { from: self.pool.len(), to }, out);
        }
        while self.pool.len() > to {
            self.queues.iter_mut().for_each(BatchQueue::shrink);
            self.pool.dismiss_last(out);
        }
        self.pool.publish_count();
    }

    /// Orders the giving queues to hand over the streams that move.
    fn begin(&mut self, resize: ShardResize, out: &mut Outbox<BatchMessage>) {
        let mut awaiting = Awaiting::new(resize);
        for giver in resize.givers() {
            let Some(queue) = self.queues.get_mut(giver) else { continue };
            let moves = |waiting: &QueuedRow| resize.moves(&waiting.row.job.bundle.stream).is_some();
            for (since, waiting) in queue.batcher.take_out(moves) {
                let stream = waiting.row.job.bundle.stream.clone();
                awaiting.keep(&stream, (since, waiting), || false);
            }
            let (reply, given) = oneshot::channel();
            queue.place().fill(Some(Order::HandOver { resize, reply }));
            out.later(async move {
                match given.await {
                    Ok(given) => BatchMessage::Change(PoolChange::HandedOver(giver, given)),
                    // The instance has failed, and the pipeline with it.
                    Err(_) => std::future::pending().await,
                }
            });
        }
        self.moving = Some(QueueMove { resize, awaiting });
    }

    /// Passes stream state to the new queues and releases the bundles that waited for it.
    fn handed_over(&mut self, giver: usize, given: Vec<HandedOver>, out: &mut Outbox<BatchMessage>) {
        let Some(QueueMove { resize, awaiting }) = &mut self.moving else { return };
        let resize = *resize;
        let waited = awaiting.handed_over(giver);
        let is_over = awaiting.is_over();
        for (taker, given) in by_queue(given, resize.to, HandedOver::stream) {
            if let Some(queue) = self.queues.get_mut(taker) {
                queue.place().fill(Some(Order::Adopt(given)));
            }
        }
        for (taker, waited) in by_queue(waited, resize.to, |(_, waiting)| &waiting.row.job.bundle.stream) {
            if let Some(queue) = self.queues.get_mut(taker) {
                queue.batcher.put_in(waited);
            }
        }
        if is_over {
            self.moving = None;
            while self.pool.len() > resize.to {
                self.pool.dismiss_last(out);
            }
            // The queues go after their instances were dismissed: a closed queue alone looks like the end of the pipeline.
            self.queues.truncate(resize.to);
            self.pool.publish_count();
        }
    }
}

/// Groups items by the queue that owns their stream.
fn by_queue<T>(
    items: Vec<T>,
    queues: usize,
    stream: impl Fn(&T) -> &StreamKey,
) -> impl Iterator<Item = (usize, Vec<T>)> {
    let mut groups: Vec<Vec<T>> = (0..queues).map(|_| Vec::new()).collect();
    for item in items {
        if let Some(group) = groups.get_mut(owner(stream(&item), queues)) {
            group.push(item);
        }
    }
    groups.into_iter().enumerate().filter(|(_, items)| !items.is_empty())
}
