//! What a sync actor does when streams move: it gives its own away, or takes those of others.
//!
//! A giver sends a stream behind all that it has said of it: bundles, and what the ledger has to know of them. The taker
//! says nothing of the stream before it has come. So whoever receives of both receives in the stream's order.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_engine::align::{Aligner, Handover, Stamp};
use lockstep_engine::position::PartitionId;
use lockstep_engine::sample::{Sample, StreamKey};
use lockstep_engine::sharding::Awaiting;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use super::{Align, AlignMessage};
use crate::resize::Moving;
use crate::stage_actor::Outbox;

/// How many streams are given at a time, before the giver looks at its other messages.
const AT_A_TIME: usize = 256;

/// What is still to be handed over.
pub(super) struct Giving {
    moving: Arc<Moving>,
    streams: Vec<StreamKey>,
}

/// What is still to come.
pub(super) struct Taking {
    moving: Arc<Moving>,
    awaiting: Awaiting<Waiting>,
    /// Partitions that were taken away meanwhile: what comes of them is of before.
    gone: Vec<PartitionId>,
    /// Set when nothing more comes from ingest: how many shards were told so.
    stopped: Option<usize>,
}

/// A sample that waits for its stream.
struct Waiting {
    sample: Arc<Sample>,
    had_ended: bool,
}

impl Taking {
    /// Nothing has come yet.
    pub(super) fn new(moving: Arc<Moving>) -> Self {
        let awaiting = Awaiting::new(moving.resize);
        Self { moving, awaiting, gone: Vec::new(), stopped: None }
    }

    /// Keeps those whose streams are still to come, and gives back the others.
    pub(super) fn keep(
        &mut self,
        samples: Vec<Arc<Sample>>,
        had_ended: bool,
        aligner: &Aligner<Arc<Sample>>,
    ) -> Vec<Arc<Sample>> {
        let keep = |sample: Arc<Sample>| {
            let stream = sample.stream.clone();
            let waiting = Waiting { sample, had_ended };
            let now = self.awaiting.keep(&stream, waiting, || aligner.knows(&stream));
            now.map(|waiting| waiting.sample)
        };
        samples.into_iter().filter_map(keep).collect()
    }

    /// Partitions are no longer ours.
    pub(super) fn revoke(&mut self, partitions: impl Iterator<Item = PartitionId>) {
        self.gone.extend(partitions);
        let gone = &self.gone;
        self.awaiting.retain(|waiting| !gone.contains(&waiting.sample.position().partition));
    }

    /// Nothing more comes from ingest. What is to come from others is waited for, as it came before.
    pub(super) fn stop(&mut self, shards: usize) {
        self.stopped = Some(shards);
    }
}

impl Align {
    /// Begins to give away the streams that are no longer its own.
    pub(super) fn hand_over(&mut self, moving: Arc<Moving>, now: Timestamp, out: &mut Outbox<AlignMessage>) {
        let moves =
            |stream: &&StreamKey| moving.resize.moves(stream).is_some_and(|(from, _)| from == self.shard);
        let streams = self.aligner.keys().filter(moves).cloned().collect();
        self.giving = Some(Giving { moving, streams });
        self.give(now, out);
    }

    /// Gives some of them.
    pub(super) fn give(&mut self, now: Timestamp, out: &mut Outbox<AlignMessage>) {
        if self.giving.is_none() {
            return;
        }
        // What is due of them is said by whom it was due to, and before they go.
        self.hear_until(self.heard);
        self.tell(now, out);
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
            if let Some(link) = moving.links.get(taker).filter(|_| is_all || !streams.is_empty()) {
                out.send(link, AlignMessage::Adopt { giver, streams, is_all });
            }
        }
        if is_all {
            self.aligner.bound_all(&moving.bounds.share_of(moving.resize.to));
            self.giving = None;
        }
    }

    /// Goes on with streams that another shard has handed over, and with what waited for them.
    pub(super) fn adopt(
        &mut self,
        giver: usize,
        streams: Vec<Handover<Arc<Sample>>>,
        is_all: bool,
        now: Timestamp,
        out: &mut Outbox<AlignMessage>,
    ) {
        let Some(taking) = &mut self.taking else {
            return out.fail(format!("shard {giver} has handed streams over that nobody expected"));
        };
        let (mut waited, mut count) = (Vec::new(), 0);
        for handover in streams {
            if handover.partitions().any(|partition| taking.gone.contains(&partition)) {
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
        for Waiting { sample, had_ended } in waited {
            let (stream, input, stamp) = (sample.stream.clone(), sample.input(), Stamp::from(&*sample));
            if had_ended {
                self.aligner.observe(&stream, input, stamp, self.heard, &mut self.events);
            } else {
                self.aligner.push(&stream, input, stamp, sample, self.heard, &mut self.events);
            }
        }
        // After what had come and waited, which is no silence.
        self.hear_until(self.heard);
        self.tell(now, out);
        if is_over && let Some(taking) = self.taking.take() {
            taking.moving.adopted.lock().push(self.shard);
            if let Some(shards) = taking.stopped {
                self.stop(shards, out);
            }
        }
    }
}
