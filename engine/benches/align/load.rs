//! The load of an aligner: inputs of one rate, poll by poll, in streams that take turns.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::align::{AlignPolicy, Aligner, Event, Held, InputPolicy, Join, Method, Stamp};
use lockstep_engine::position::InputId;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::time::Timestamp;

const MS: i64 = 1_000_000;
/// The time from one sample of an input to the next.
pub(super) const PERIOD: Duration = Duration::from_millis(40);
/// The most samples of a poll of a partition.
const POLL: usize = 256;
/// The delay of each input's sample after the pivot's, in milliseconds.
const OFFSETS: [i64; 16] = [0, 7, -11, 3, 13, -5, 9, -17, 1, 15, -7, 5, 11, -3, 17, -13];

/// A pivot and an input for each join.
pub(super) fn policy(joins: &[Join], out_of_orderness: Duration) -> Arc<AlignPolicy> {
    let input = |index: usize, join: &Join| InputPolicy {
        out_of_orderness,
        idle_timeout: Duration::from_secs(3600),
        ..InputPolicy::new(format!("input-{index}"), *join)
    };
    Arc::new(AlignPolicy {
        max_wait: Duration::from_secs(3600),
        forget_after: Duration::from_secs(3600),
        ..AlignPolicy::new(
            Method::Pivot(InputId(0)),
            std::iter::once(&Join::Pivot).chain(joins).enumerate().map(|(i, join)| input(i, join)).collect(),
        )
    })
}

/// A policy without a pivot.
pub(super) fn without_pivot(method: Method, inputs: usize, out_of_orderness: Duration) -> Arc<AlignPolicy> {
    let joins = vec![Join::Pivot; inputs - 1];
    Arc::new(AlignPolicy { method, ..(*policy(&joins, out_of_orderness)).clone() })
}

/// The aligned item, which has no content.
pub(super) struct Item;

impl Held for Item {
    fn weight(&self) -> u64 {
        1_000
    }
}

/// An endless run: [`Load::step`] pushes the next samples.
pub(super) struct Load {
    aligner: Aligner<Arc<Item>>,
    streams: Vec<StreamKey>,
    item: Arc<Item>,
    lasts: Duration,
    round: i64,
    turn: usize,
    /// The number of samples pushed beyond the requested ones.
    ahead: usize,
    out: Vec<Event<Arc<Item>>>,
}

impl Load {
    /// Creates a load; `lasts` is the duration of the samples of every second input.
    pub(super) fn new(policy: Arc<AlignPolicy>, streams: usize, lasts: Duration) -> Self {
        let streams = (0..streams).map(|i| StreamKey::from(format!("camera-{i:06}").as_str())).collect();
        let (item, out) = (Arc::new(Item), Vec::new());
        Self { aligner: Aligner::new(policy), streams, item, lasts, round: 0, turn: 0, ahead: 0, out }
    }

    /// Pushes, for some streams at a time, a poll of each input with one sample of each of them. Then it drops the
    /// events. Returns the number of bundles.
    pub(super) fn step(&mut self, samples: usize) -> usize {
        let inputs = self.aligner.policy().inputs.len();
        let same_time = self.aligner.policy().method == Method::Exact;
        let mut bundles = 0;
        while self.ahead < samples {
            let polled = self.streams.iter().skip(self.turn).take(POLL);
            let at = self.round * PERIOD.as_millis() as i64 * MS;
            let now = Timestamp::from_nanos(at);
            self.aligner.tick(now, &mut self.out);
            for (input, offset) in (0..inputs as u16).zip(OFFSETS) {
                let offset = if same_time { 0 } else { offset };
                let lasts = if input % 2 == 1 { self.lasts } else { Duration::ZERO };
                let stamp = Stamp::new(Timestamp::from_nanos(at + offset * MS), lasts);
                let sample = |stream| (stream, InputId(input), stamp, Arc::clone(&self.item));
                let poll: Vec<_> = polled.clone().map(sample).collect();
                self.ahead += poll.len();
                self.aligner.push_all(poll, now, &mut self.out);
            }
            bundles += self.out.drain(..).filter(|event| matches!(event, Event::Bundle(_))).count();
            self.turn += POLL;
            if self.turn >= self.streams.len() {
                (self.turn, self.round) = (0, self.round + 1);
            }
        }
        self.ahead -= samples;
        bundles
    }

    /// Pushes `rounds` samples of each input of each stream.
    pub(super) fn rounds(&mut self, rounds: usize) {
        self.step(self.streams.len() * self.aligner.policy().inputs.len() * rounds);
    }

    /// Advances the clock by `span` without samples.
    pub(super) fn fall_silent(&mut self, span: Duration) {
        let now = Timestamp::from_nanos(self.round * PERIOD.as_millis() as i64 * MS).after(span);
        self.aligner.tick(now, &mut self.out);
        self.out = Vec::new();
    }

    /// The number of held samples.
    pub(super) fn buffered(&self) -> usize {
        self.aligner.buffered()
    }
}
