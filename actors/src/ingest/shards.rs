//! The shards of the align stage. Ingest spreads samples over them; their number changes while samples arrive.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::align::Bounds;
use lockstep_engine::sample::Sample;
use lockstep_engine::sharding::{MOST_SHARDS, ResizeRefusal, Router};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use crate::mailbox::Mailbox;
use crate::message::{AlignMessage, IngestMessage, ShardMove};
use crate::stage_actor::Outbox;
use crate::status::{Status, shard_name};

/// The period of checks for another desired number of shards.
const CHECK_EVERY: Duration = Duration::from_millis(100);
/// The period of checks for the arrival of moving streams.
const CHECK_WHILE_MOVING: Duration = Duration::from_millis(5);

/// Starts the actor of a shard, given the shard and the number of shards.
pub type StartShard = Box<dyn FnMut(usize, usize) -> Mailbox<AlignMessage> + Send>;

/// The shards of the align stage.
pub struct Shards {
    /// One mailbox a shard. Leaving shards are included until their streams have moved.
    mailboxes: Vec<Mailbox<AlignMessage>>,
    router: Router,
    start: StartShard,
    moving: Option<Arc<ShardMove>>,
    bounds: Bounds,
    status: Arc<Status>,
    next_check: Timestamp,
}

impl Shards {
    /// Starts the desired number of shards, or `count`. `bounds` are the bounds of alignment of the whole process.
    pub fn start(count: usize, mut start: StartShard, bounds: Bounds, status: Arc<Status>) -> Self {
        let count = status.shards.desired().unwrap_or(count).clamp(1, MOST_SHARDS);
        let mailboxes = (0..count).map(|shard| start(shard, count)).collect();
        status.shards.set_current(count);
        telemetry::shards::count(count);
        let router = Router::new(count);
        Self { mailboxes, router, start, moving: None, bounds, status, next_check: Timestamp::MIN }
    }

    /// Returns the mailbox of each shard, leaving ones included.
    pub(super) fn mailboxes(&self) -> &[Mailbox<AlignMessage>] {
        &self.mailboxes
    }

    /// Sends samples to the owners of their streams, with the time of their arrival. `had_ended` is true for samples that ended
    /// before a restart.
    pub(super) fn send(
        &self,
        at: Timestamp,
        samples: impl IntoIterator<Item = Arc<Sample>>,
        had_ended: bool,
        out: &mut Outbox<IngestMessage>,
    ) {
        let mut by_shard: Vec<Vec<Arc<Sample>>> = self.mailboxes.iter().map(|_| Vec::new()).collect();
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
        for (shard, samples) in self.mailboxes.iter().zip(by_shard).filter(|(_, samples)| !samples.is_empty())
        {
            out.send(shard, message(samples));
        }
    }

    /// Sends all shards a message that holds the number of shards.
    pub(super) fn send_all(&self, message: fn(usize) -> AlignMessage, out: &mut Outbox<IngestMessage>) {
        for shard in &self.mailboxes {
            out.send(shard, message(self.mailboxes.len()));
        }
    }

    /// Returns true while streams move.
    pub(super) fn are_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// Returns the time of the next check.
    pub(super) fn next_check(&self) -> Timestamp {
        self.next_check
    }

    /// Ends a move when all streams have arrived, and begins one if another number of shards is desired.
    pub(super) fn check(&mut self, now: Timestamp, out: &mut Outbox<IngestMessage>) {
        self.end_move(now, out);
        if let Some(asked) = self.status.shards.desired() {
            self.resize(asked, now, out);
        }
        self.next_check = now.after(if self.moving.is_some() { CHECK_WHILE_MOVING } else { CHECK_EVERY });
    }

    fn end_move(&mut self, now: Timestamp, out: &mut Outbox<IngestMessage>) {
        let Some(moving) = &self.moving else { return };
        let adopted = std::mem::take(&mut *moving.adopted.lock());
        let over = adopted.into_iter().filter_map(|taker| self.router.adopted(taker)).next();
        let Some(resize) = over else { return };
        tracing::info!(
            from = resize.from,
            to = resize.to,
            took = ?now.since(moving.began),
            "shards resized"
        );
        self.moving = None;
        let first = self.router.shards();
        for (shard, left) in (first..).zip(self.mailboxes.drain(first..)) {
            // Ingest reports the end: a new shard of the same name may start before the old one would report it.
            self.status.ended(&shard_name(shard));
            out.send(&left, AlignMessage::Leave);
        }
    }

    fn resize(&mut self, to: usize, now: Timestamp, out: &mut Outbox<IngestMessage>) {
        let resize = match self.router.resize(to) {
            Ok(resize) => resize,
            // The next check after this move asks again.
            Err(ResizeRefusal::Moving | ResizeRefusal::AsItIs | ResizeRefusal::None) => return,
        };
        tracing::info!(from = resize.from, to = resize.to, "resizing shards");
        while self.mailboxes.len() < to {
            self.mailboxes.push((self.start)(self.mailboxes.len(), to));
        }
        self.status.shards.set_current(to);
        telemetry::shards::count(to);
        let moving = Arc::new(ShardMove {
            resize,
            bounds: self.bounds,
            mailboxes: self.mailboxes.clone(),
            began: now,
            adopted: Mutex::default(),
        });
        // Takers must know of the move before givers, and both before the next sample.
        for mailbox in self.mailboxes.get(resize.takers()).into_iter().flatten() {
            out.send(mailbox, AlignMessage::Expect(Arc::clone(&moving)));
        }
        for mailbox in self.mailboxes.get(resize.givers()).into_iter().flatten() {
            out.send(mailbox, AlignMessage::HandOver(Arc::clone(&moving)));
        }
        self.moving = Some(moving);
    }
}
