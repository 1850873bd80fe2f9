//! Instances that become more and fewer while bundles come.
//!
//! What is asked for is looked at when it changes and at the end of each change, and there is one change at a time. One
//! more is loaded off the data path and counted on when it is there; if that is not wanted any more by then, it goes again.
//!
//! Instances without state take their batches from one queue: with their number the slots become more or fewer, and
//! that is all. Where streams carry something on, each instance has a queue of its own, and what moves are the queues'
//! streams, by the rule of [`lockstep_engine::sharding`]. The bundles of such a stream wait from the order to hand
//! over until what it carries on has come, and others go on. The order stands behind all batches that have been cut, so
//! what is handed over is what they leave; what is adopted stands before all batches that are cut then.

use lockstep_engine::infer::state::HandedOver;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::scaling::MOST_INSTANCES;
use lockstep_engine::sharding::{Awaiting, Resize, owner};
use lockstep_engine::time::Timestamp;
use tokio::sync::oneshot;

use super::batch_queue::{BatchQueue, orders};
use super::{BatchMessage, BatchRoom, Waiting};
use crate::instance::Order;
use crate::stage_actor::Outbox;

/// What happens when the number of instances changes.
pub enum Change {
    /// Another number is asked for.
    Desired,
    /// The instance that comes has loaded its model, and on which device, or why not.
    Loaded(Result<String, String>),
    /// A queue's instance has handed over what moves.
    HandedOver(usize, Vec<HandedOver>),
    /// The instance of that number has gone.
    Gone(usize),
}

/// Streams that move from queue to queue.
pub(super) struct Moving {
    resize: Resize,
    /// What waits for what its stream carries on, with its time of arrival.
    awaiting: Awaiting<(Timestamp, Waiting)>,
}

impl BatchRoom {
    pub(super) fn change(&mut self, change: Change, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        match change {
            Change::Desired => self.listen(out),
            Change::Loaded(outcome) => self.pool.loaded(outcome, now),
            Change::HandedOver(giver, given) => self.handed_over(giver, given, out),
            Change::Gone(number) => self.pool.gone(number),
        }
        self.settle(now, out);
        self.pump_all(now, out);
    }

    /// Hears of the next number that is asked for.
    pub(super) fn listen(&self, out: &mut Outbox<BatchMessage>) {
        let mut asked = self.pool.counts.changes();
        out.later(async move {
            match asked.changed().await {
                Ok(()) => BatchMessage::Change(Change::Desired),
                // Who asks outlives all actors.
                Err(_) => std::future::pending().await,
            }
        });
    }

    /// Does what is to be done and can be done to come to the number that is asked for.
    pub(super) fn settle(&mut self, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        while self.moving.is_none()
            && let Some(asked) = self.pool.counts.asked()
        {
            let (asked, there) = (asked.clamp(1, MOST_INSTANCES), self.pool.len());
            if asked < there {
                self.fewer(asked, out);
            } else if self.pool.has_loaded() {
                if asked > there { self.one_more(out) } else { self.pool.turn_away(out) }
            } else {
                if asked > there && self.pool.may_load(now) {
                    self.load(now, out);
                }
                return;
            }
        }
    }

    /// When it is to be tried again to load one.
    pub(super) fn next_try(&self) -> Option<Timestamp> {
        let is_wanted = self.pool.counts.asked().is_some_and(|asked| asked > self.pool.len());
        self.pool.not_before().filter(|_| is_wanted)
    }

    fn load(&mut self, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        let of_lane = match &self.shared {
            Some(from) => (None, from.clone()),
            None => {
                let (to, from) = orders();
                (Some(to), from)
            }
        };
        self.pool.load(of_lane, now, out);
    }

    fn one_more(&mut self, out: &mut Outbox<BatchMessage>) {
        let there = self.pool.len();
        let Some(to) = self.pool.join() else {
            self.queues.iter_mut().for_each(BatchQueue::grow);
            return self.pool.tell();
        };
        self.add_lane(to, 1);
        self.begin(Resize { from: there, to: there + 1 }, out);
    }

    fn fewer(&mut self, to: usize, out: &mut Outbox<BatchMessage>) {
        if self.shared.is_none() {
            return self.begin(Resize { from: self.pool.len(), to }, out);
        }
        while self.pool.len() > to {
            self.queues.iter_mut().for_each(BatchQueue::shrink);
            self.pool.let_go(out);
        }
        self.pool.tell();
    }

    /// Has queues hand over the streams that move.
    fn begin(&mut self, resize: Resize, out: &mut Outbox<BatchMessage>) {
        let mut awaiting = Awaiting::new(resize);
        for giver in resize.givers() {
            let Some(queue) = self.queues.get_mut(giver) else { continue };
            let moves = |waiting: &Waiting| resize.moves(&waiting.job.bundle.stream).is_some();
            for (since, waiting) in queue.batcher.take_out(moves) {
                let stream = waiting.job.bundle.stream.clone();
                awaiting.keep(&stream, (since, waiting), || false);
            }
            let (reply, given) = oneshot::channel();
            queue.place().fill(Some(Order::HandOver { resize, reply }));
            out.later(async move {
                match given.await {
                    Ok(given) => BatchMessage::Change(Change::HandedOver(giver, given)),
                    // The instance has come to grief, and the pipeline with it.
                    Err(_) => std::future::pending().await,
                }
            });
        }
        self.moving = Some(Moving { resize, awaiting });
    }

    /// Gives what streams carry on to the queues that they have now, and lets their bundles go on.
    fn handed_over(&mut self, giver: usize, given: Vec<HandedOver>, out: &mut Outbox<BatchMessage>) {
        let Some(Moving { resize, awaiting }) = &mut self.moving else { return };
        let resize = *resize;
        let waited = awaiting.handed_over(giver);
        let is_over = awaiting.is_over();
        for (taker, given) in sorted(given, resize.to, HandedOver::stream) {
            if let Some(queue) = self.queues.get_mut(taker) {
                queue.place().fill(Some(Order::Adopt(given)));
            }
        }
        for (taker, waited) in sorted(waited, resize.to, |(_, waiting)| &waiting.job.bundle.stream) {
            if let Some(queue) = self.queues.get_mut(taker) {
                queue.batcher.put_in(waited);
            }
        }
        if is_over {
            self.moving = None;
            while self.pool.len() > resize.to {
                self.pool.let_go(out);
            }
            // Not before they know that they are to go: an empty queue alone looks like the end of the pipeline.
            self.queues.truncate(resize.to);
            self.pool.tell();
        }
    }

    /// The queue of a bundle, or none while it waits for what its stream carries on.
    pub(super) fn route(&mut self, waiting: Waiting, now: Timestamp) -> Option<(usize, Waiting)> {
        if self.shared.is_some() {
            return Some((0, waiting));
        }
        let Some(Moving { resize, awaiting }) = &mut self.moving else {
            return Some((owner(&waiting.job.bundle.stream, self.queues.len()), waiting));
        };
        let stream = waiting.job.bundle.stream.clone();
        let (_, waiting) = awaiting.keep(&stream, (now, waiting), || false)?;
        Some((owner(&stream, resize.to), waiting))
    }
}

/// By the queue, of so many, that owns its stream.
fn sorted<T>(
    items: Vec<T>,
    queues: usize,
    stream: impl Fn(&T) -> &StreamKey,
) -> impl Iterator<Item = (usize, Vec<T>)> {
    let mut of_lanes: Vec<Vec<T>> = (0..queues).map(|_| Vec::new()).collect();
    for item in items {
        if let Some(of_lane) = of_lanes.get_mut(owner(stream(&item), queues)) {
            of_lane.push(item);
        }
    }
    of_lanes.into_iter().enumerate().filter(|(_, items)| !items.is_empty())
}
