//! The handover of streams between shards.
//!
//! A giver sends a stream after all its own messages about it: its bundles, and the outcomes for the ledger. The taker sends
//! nothing about the stream before it has adopted it. So the stages that receive from both see the stream's order.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_engine::align::{Handover, Stamp};
use lockstep_engine::sample::{Sample, StreamKey};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use super::Align;
use super::moving::{Giving, WaitingSample};
use crate::message::{AlignMessage, ShardMove};
use crate::stage_actor::Outbox;

/// The number of streams that a giver sends before it handles other messages.
const AT_A_TIME: usize = 256;

impl Align {
    /// Begins to hand over the streams that move away from this shard.
    pub(super) fn hand_over(
        &mut self,
        moving: Arc<ShardMove>,
        now: Timestamp,
        out: &mut Outbox<AlignMessage>,
    ) {
        let moves =
            |stream: &&StreamKey| moving.resize.moves(stream).is_some_and(|(from, _)| from == self.shard);
        let streams = self.aligner.keys().filter(moves).cloned().collect();
        self.giving = Some(Giving { moving, streams });
        self.give(now, out);
    }

    /// Hands over the next streams.
    pub(super) fn give(&mut self, now: Timestamp, out: &mut Outbox<AlignMessage>) {
        if self.giving.is_none() {
            return;
        }
        // Bundles of the streams that are due come from this shard, before it hands the streams over.
        self.advance_to(self.known_until);
        self.send_events(now, out);
        let Some(Giving { moving, streams }) = &mut self.giving else { return };
        let mut given = BTreeMap::<usize, Vec<Handover<Arc<Sample>>>>::new();
        let rest = streams.len().saturating_sub(AT_A_TIME);
        for stream in streams.drain(rest..) {
            if let Some((_, taker)) = moving.resize.moves(&stream) {
                given.entry(taker).or_default().extend(self.aligner.hand_over(&stream));
            }
        }
        let (giver, is_all) = (self.shard, rest == 0);
        for taker in moving.resize.takers() {
            let streams = given.remove(&taker).unwrap_or_default();
            if let Some(mailbox) = moving.mailboxes.get(taker).filter(|_| is_all || !streams.is_empty()) {
                out.send(mailbox, AlignMessage::Adopt { giver, streams, is_all });
            }
        }
        if is_all {
            self.aligner.bound_all(&moving.bounds.share_of(moving.resize.to));
            self.giving = None;
        }
    }

    /// Adopts streams that another shard has handed over, and the samples that waited for them.
    pub(super) fn adopt(
        &mut self,
        giver: usize,
        streams: Vec<Handover<Arc<Sample>>>,
        is_all: bool,
        now: Timestamp,
        out: &mut Outbox<AlignMessage>,
    ) {
        let Some(taking) = &mut self.taking else {
            return out.fail(format!("shard {giver} handed over streams outside of a move"));
        };
        let (mut waited, mut count) = (Vec::new(), 0);
        for handover in streams {
            if handover.partitions().any(|partition| taking.revoked.contains(&partition)) {
                continue;
            }
            let stream = handover.stream().clone();
            if let Err(error) = self.aligner.adopt(handover) {
                return out.fail(error.to_string());
            }
            waited.extend(taking.awaiting.adopted(&stream));
            count += 1;
        }
        telemetry::shards::moved(count, now.since(taking.moving.began));
        if is_all {
            waited.extend(taking.awaiting.handed_over(giver));
        }
        let is_over = taking.awaiting.is_over();
        for WaitingSample { sample, had_ended } in waited {
            let (stream, input, stamp) = (sample.stream.clone(), sample.input(), Stamp::from(&*sample));
            if had_ended {
                self.aligner.observe(&stream, input, stamp, self.known_until, &mut self.events);
            } else {
                self.aligner.push(&stream, input, stamp, sample, self.known_until, &mut self.events);
            }
        }
        // Time advances after the waiting samples, which have arrived already and are no silence.
        self.advance_to(self.known_until);
        self.send_events(now, out);
        if is_over && let Some(taking) = self.taking.take() {
            taking.moving.adopted.lock().push(self.shard);
            if let Some(shards) = taking.stopped {
                self.stop(shards, out);
            }
        }
    }
}
