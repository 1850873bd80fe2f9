//! The sync actors that samples are spread over, which become more or fewer while samples keep coming.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::align::Bounds;
use lockstep_engine::sample::Sample;
use lockstep_engine::sharding::{MOST_SHARDS, Refused, Router};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use super::IngestMessage;
use crate::align::{Align, AlignMessage};
use crate::mailbox::Mailbox;
use crate::resize::Moving;
use crate::stage_actor::Outbox;
use crate::status::Status;

/// How often it is looked whether more or fewer are asked for, and whether streams that move have arrived.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOK_WHILE_MOVING: Duration = Duration::from_millis(5);

/// Starts the sync actor of a shard, of so many.
pub type StartShard = Box<dyn FnMut(usize, usize) -> Mailbox<AlignMessage> + Send>;

/// The sync actors.
pub struct Shards {
    /// By shard; those that leave are among them until their streams have gone.
    links: Vec<Mailbox<AlignMessage>>,
    router: Router,
    start: StartShard,
    moving: Option<Arc<Moving>>,
    bounds: Bounds,
    status: Arc<Status>,
    next_look: Timestamp,
}

impl Shards {
    /// Starts as many as are asked for, or `count`. `bounds` are those of alignment, of the whole process.
    pub fn start(count: usize, mut start: StartShard, bounds: Bounds, status: Arc<Status>) -> Self {
        let count = status.shards.asked().unwrap_or(count).clamp(1, MOST_SHARDS);
        let links = (0..count).map(|shard| start(shard, count)).collect();
        status.shards.set_current(count);
        telemetry::shards::count(count);
        let router = Router::new(count);
        Self { links, router, start, moving: None, bounds, status, next_look: Timestamp::MIN }
    }

    /// The link of each, those that leave included.
    pub(super) fn links(&self) -> &[Mailbox<AlignMessage>] {
        &self.links
    }

    /// Sends samples to the owners of their streams, those that had ended before a restart as such, with the time at which
    /// they came.
    pub(super) fn send(
        &self,
        at: Timestamp,
        samples: impl IntoIterator<Item = Arc<Sample>>,
        had_ended: bool,
        out: &mut Outbox<IngestMessage>,
    ) {
        let mut by_shard: Vec<Vec<Arc<Sample>>> = self.links.iter().map(|_| Vec::new()).collect();
        for sample in samples {
            if let Some(of_shard) = by_shard.get_mut(self.router.owner(&sample.stream)) {
                of_shard.push(sample);
            }
        }
        let message = |samples| {
            if had_ended {
                AlignMessage::Ended { at, samples }
            } else {
                AlignMessage::Samples { at, samples }
            }
        };
        for (shard, samples) in self.links.iter().zip(by_shard).filter(|(_, samples)| !samples.is_empty()) {
            out.send(shard, message(samples));
        }
    }

    /// Tells all of them something that says how many they are.
    pub(super) fn tell(&self, message: fn(usize) -> AlignMessage, out: &mut Outbox<IngestMessage>) {
        for shard in &self.links {
            out.send(shard, message(self.links.len()));
        }
    }

    /// Whether streams are on their way.
    pub(super) fn are_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// When to look next.
    pub(super) fn next_look(&self) -> Timestamp {
        self.next_look
    }

    /// Ends a move when all streams have arrived, and begins one if more or fewer shards are asked for.
    pub(super) fn look(&mut self, now: Timestamp, out: &mut Outbox<IngestMessage>) {
        self.arrived(now, out);
        if let Some(asked) = self.status.shards.asked() {
            self.resize(asked, now, out);
        }
        self.next_look = now.after(if self.moving.is_some() { LOOK_WHILE_MOVING } else { LOOK_EVERY });
    }

    fn arrived(&mut self, now: Timestamp, out: &mut Outbox<IngestMessage>) {
        let Some(moving) = &self.moving else { return };
        let adopted = std::mem::take(&mut *moving.adopted.lock());
        let over = adopted.into_iter().filter_map(|taker| self.router.adopted(taker)).next();
        let Some(resize) = over else { return };
        tracing::info!(
            from = resize.from,
            to = resize.to,
            took = ?now.since(moving.began),
            "all streams that move with the number of shards have arrived"
        );
        self.moving = None;
        let first = self.router.shards();
        for (shard, left) in (first..).zip(self.links.drain(first..)) {
            // Here and not by itself: one of the same name may have begun before it has heard of it.
            self.status.ended(&Align::name(shard));
            out.send(&left, AlignMessage::Leave);
        }
    }

    fn resize(&mut self, to: usize, now: Timestamp, out: &mut Outbox<IngestMessage>) {
        let resize = match self.router.resize(to) {
            Ok(resize) => resize,
            // When this move is over it is asked again.
            Err(Refused::Moving | Refused::AsItIs | Refused::None) => return,
        };
        tracing::info!(from = resize.from, to = resize.to, "the number of shards changes");
        while self.links.len() < to {
            self.links.push((self.start)(self.links.len(), to));
        }
        self.status.shards.set_current(to);
        telemetry::shards::count(to);
        let moving = Arc::new(Moving {
            resize,
            bounds: self.bounds,
            links: self.links.clone(),
            began: now,
            adopted: Mutex::default(),
        });
        // Takers before givers, and both before the next sample.
        for link in self.links.get(resize.takers()).into_iter().flatten() {
            out.send(link, AlignMessage::Expect(Arc::clone(&moving)));
        }
        for link in self.links.get(resize.givers()).into_iter().flatten() {
            out.send(link, AlignMessage::HandOver(Arc::clone(&moving)));
        }
        self.moving = Some(moving);
    }
}
