//! Instances that become more and fewer while bundles come.
//!
//! What is asked for is looked at when it changes and at the end of each change, and there is one change at a time. One
//! more is loaded off the data path and counted on when it is there; if that is not wanted any more by then, it goes again.
//!
//! Instances without state take their batches from one queue: with their number the slots become more or fewer, and
//! that is all. Where streams carry something on, each instance has a lane of its own, and what moves are the lanes'
//! streams, by the rule of [`lockstep_engine::control::shards`]. The bundles of such a stream wait from the order to hand
//! over until what it carries on has come, and others go on. The order stands behind all batches that have been cut, so
//! what is handed over is what they leave; what is adopted stands before all batches that are cut then.

use lockstep_engine::control::scaling::MOST_INSTANCES;
use lockstep_engine::control::shards::{Awaiting, Resize, owner};
use lockstep_engine::infer::state::HandedOver;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::time::Timestamp;
use tokio::sync::oneshot;

use super::lane::{Lane, orders};
use super::{BatchMessage, BatchRoom, Waiting};
use crate::instance::Order;
use crate::shell::Outbox;

/// What happens when the number of instances changes.
pub enum Change {
    /// Another number is asked for.
    Asked,
    /// The instance that comes has loaded its model, and on which device, or why not.
    Loaded(Result<String, String>),
    /// A lane's instance has handed over what moves.
    HandedOver(usize, Vec<HandedOver>),
    /// The instance of that number has gone.
    Gone(usize),
}

/// Streams that move from lane to lane.
pub(super) struct Moving {
    resize: Resize,
    /// What waits for what its stream carries on, with its time of arrival.
    awaiting: Awaiting<(Timestamp, Waiting)>,
}

impl BatchRoom {
    pub(super) fn change(&mut self, change: Change, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        match change {
            Change::Asked => self.listen(out),
            Change::Loaded(outcome) => self.crew.loaded(outcome, now),
            Change::HandedOver(giver, given) => self.handed_over(giver, given, out),
            Change::Gone(number) => self.crew.gone(number),
        }
        self.settle(now, out);
        self.pump_all(now, out);
    }

    /// Hears of the next number that is asked for.
    pub(super) fn listen(&self, out: &mut Outbox<BatchMessage>) {
        let mut asked = self.crew.counts.changes();
        out.later(async move {
            match asked.changed().await {
                Ok(()) => BatchMessage::Change(Change::Asked),
                // Who asks outlives all actors.
                Err(_) => std::future::pending().await,
            }
        });
    }

    /// Does what is to be done and can be done to come to the number that is asked for.
    pub(super) fn settle(&mut self, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        while self.moving.is_none()
            && let Some(asked) = self.crew.counts.asked()
        {
            let (asked, there) = (asked.clamp(1, MOST_INSTANCES), self.crew.len());
            if asked < there {
                self.fewer(asked, out);
            } else if self.crew.has_loaded() {
                if asked > there { self.one_more(out) } else { self.crew.turn_away(out) }
            } else {
                if asked > there && self.crew.may_load(now) {
                    self.load(now, out);
                }
                return;
            }
        }
    }

    /// When it is to be tried again to load one.
    pub(super) fn next_try(&self) -> Option<Timestamp> {
        let is_wanted = self.crew.counts.asked().is_some_and(|asked| asked > self.crew.len());
        self.crew.not_before().filter(|_| is_wanted)
    }

    fn load(&mut self, now: Timestamp, out: &mut Outbox<BatchMessage>) {
        let of_lane = match &self.shared {
            Some(from) => (None, from.clone()),
            None => {
                let (to, from) = orders();
                (Some(to), from)
            }
        };
        self.crew.load(of_lane, now, out);
    }

    fn one_more(&mut self, out: &mut Outbox<BatchMessage>) {
        let there = self.crew.len();
        let Some(to) = self.crew.join() else {
            self.lanes.iter_mut().for_each(Lane::grow);
            return self.crew.tell();
        };
        self.add_lane(to, 1);
        self.begin(Resize { from: there, to: there + 1 }, out);
    }

    fn fewer(&mut self, to: usize, out: &mut Outbox<BatchMessage>) {
        if self.shared.is_none() {
            return self.begin(Resize { from: self.crew.len(), to }, out);
        }
        while self.crew.len() > to {
            self.lanes.iter_mut().for_each(Lane::shrink);
            self.crew.let_go(out);
        }
        self.crew.tell();
    }

    /// Has lanes hand over the streams that move.
    fn begin(&mut self, resize: Resize, out: &mut Outbox<BatchMessage>) {
        let mut awaiting = Awaiting::new(resize);
        for giver in resize.givers() {
            let Some(lane) = self.lanes.get_mut(giver) else { continue };
            let moves = |waiting: &Waiting| resize.moves(&waiting.job.bundle.stream).is_some();
            for (since, waiting) in lane.batcher.take_out(moves) {
                let stream = waiting.job.bundle.stream.clone();
                awaiting.keep(&stream, (since, waiting), || false);
            }
            let (reply, given) = oneshot::channel();
            lane.place().fill(Some(Order::HandOver { resize, reply }));
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

    /// Gives what streams carry on to the lanes that they have now, and lets their bundles go on.
    fn handed_over(&mut self, giver: usize, given: Vec<HandedOver>, out: &mut Outbox<BatchMessage>) {
        let Some(Moving { resize, awaiting }) = &mut self.moving else { return };
        let resize = *resize;
        let waited = awaiting.handed_over(giver);
        let is_over = awaiting.is_over();
        for (taker, given) in sorted(given, resize.to, HandedOver::stream) {
            if let Some(lane) = self.lanes.get_mut(taker) {
                lane.place().fill(Some(Order::Adopt(given)));
            }
        }
        for (taker, waited) in sorted(waited, resize.to, |(_, waiting)| &waiting.job.bundle.stream) {
            if let Some(lane) = self.lanes.get_mut(taker) {
                lane.batcher.put_in(waited);
            }
        }
        if is_over {
            self.moving = None;
            while self.crew.len() > resize.to {
                self.crew.let_go(out);
            }
            // Not before they know that they are to go: an empty queue alone looks like the end of the pipeline.
            self.lanes.truncate(resize.to);
            self.crew.tell();
        }
    }

    /// The lane of a bundle, or none while it waits for what its stream carries on.
    pub(super) fn route(&mut self, waiting: Waiting, now: Timestamp) -> Option<(usize, Waiting)> {
        if self.shared.is_some() {
            return Some((0, waiting));
        }
        let Some(Moving { resize, awaiting }) = &mut self.moving else {
            return Some((owner(&waiting.job.bundle.stream, self.lanes.len()), waiting));
        };
        let stream = waiting.job.bundle.stream.clone();
        let (_, waiting) = awaiting.keep(&stream, (now, waiting), || false)?;
        Some((owner(&stream, resize.to), waiting))
    }
}

/// By the lane, of so many, that owns its stream.
fn sorted<T>(
    items: Vec<T>,
    lanes: usize,
    stream: impl Fn(&T) -> &StreamKey,
) -> impl Iterator<Item = (usize, Vec<T>)> {
    let mut of_lanes: Vec<Vec<T>> = (0..lanes).map(|_| Vec::new()).collect();
    for item in items {
        if let Some(of_lane) = of_lanes.get_mut(owner(stream(&item), lanes)) {
            of_lane.push(item);
        }
    }
    of_lanes.into_iter().enumerate().filter(|(_, items)| !items.is_empty())
}
