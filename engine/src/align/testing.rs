//! An aligner for tests by hand: one stream, times in milliseconds, a sample is a number.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::position::InputId;
use crate::sample::StreamKey;
use crate::testing::ms;
use crate::time::Timestamp;

impl Held for u8 {}

/// The weight of a number is its value. From a million on the number is an id.
impl Held for u32 {
    fn weight(&self) -> u64 {
        u64::from(*self)
    }

    fn repeats(&self, other: &Self) -> bool {
        *self >= 1_000_000 && self == other
    }

    fn fingerprint(&self) -> Option<u64> {
        (*self >= 1_000_000).then_some(u64::from(*self))
    }
}

impl Held for usize {}

/// A policy for inputs without disorder: idle after 100 ms, waiting for 1 s, forgotten after 10 s.
pub(super) fn quick(method: Method, joins: impl IntoIterator<Item = Join>) -> AlignPolicy {
    let input = |join| InputPolicy { idle_timeout: ms(100), ..InputPolicy::new("an input", join) };
    let inputs = joins.into_iter().map(input).collect();
    AlignPolicy { max_wait: ms(1_000), forget_after: ms(10_000), ..AlignPolicy::new(method, inputs) }
}

/// [`quick`] for a pivot and one other input.
pub(super) fn quick_pair(join: Join, missing: Missing) -> AlignPolicy {
    let mut policy = quick(Method::Pivot(InputId(0)), [Join::Pivot, join]);
    policy.inputs[1].missing = missing;
    policy
}

pub(super) struct Rig {
    pub(super) aligner: Aligner<u32>,
    pub(super) out: Vec<Event<u32>>,
}

impl Rig {
    pub(super) fn new(policy: AlignPolicy) -> Self {
        Self { aligner: Aligner::new(Arc::new(policy)), out: Vec::new() }
    }

    /// Pushes to stream `s`; a sample's number is its time unless given.
    pub(super) fn push(&mut self, input: u16, time: i64, now: i64) -> String {
        self.push_as(input, time, 0, u32::try_from(time).expect("a time"), now)
    }

    /// The bundle that the push of such a sample closes.
    pub(super) fn bundle_after(&mut self, input: u16, time: i64, now: i64) -> Bundle<u32> {
        self.give(input, time, 0, 0, now);
        match self.out.first() {
            Some(Event::Bundle(bundle)) => (**bundle).clone(),
            _ => panic!("no bundle but: {}", self.emitted()),
        }
    }

    pub(super) fn push_as(&mut self, input: u16, time: i64, lasts: u64, item: u32, now: i64) -> String {
        self.give(input, time, lasts, item, now);
        self.emitted()
    }

    pub(super) fn give(&mut self, input: u16, time: i64, lasts: u64, item: u32, now: i64) {
        self.give_to("s", input, time, lasts, item, now);
    }

    pub(super) fn give_to(&mut self, stream: &str, input: u16, time: i64, lasts: u64, item: u32, now: i64) {
        let stamp = Stamp::new(Timestamp::from_millis(time), Duration::from_millis(lasts));
        let stream = StreamKey::from(stream);
        self.aligner.push(&stream, InputId(input), stamp, item, Timestamp::from_millis(now), &mut self.out);
    }

    pub(super) fn tick(&mut self, now: i64) -> String {
        self.aligner.tick(Timestamp::from_millis(now), &mut self.out);
        self.emitted()
    }

    pub(super) fn finish(&mut self, now: i64) -> String {
        self.aligner.finish(Timestamp::from_millis(now), &mut self.out);
        self.emitted()
    }

    pub(super) fn due(&self) -> Option<i64> {
        self.aligner.next_deadline().map(Timestamp::as_millis)
    }

    /// The events since the last call, in short form. `100:[100][90]` is a bundle, with its revision if there can be
    /// several, `90x1` a release after one use.
    pub(super) fn emitted(&mut self) -> String {
        let revises = self.aligner.policy().revise.revises();
        let bundle = |bundle: &Bundle<u32>| {
            let parts: String = bundle.parts.iter().map(|part| format!("{:?}", part.samples)).collect();
            let revision = match (revises, bundle.is_final, bundle.is_repeated) {
                (false, ..) => String::new(),
                (_, false, _) => format!(" r{}", bundle.revision),
                (_, true, false) => format!(" r{} final", bundle.revision),
                (_, true, true) => format!(" r{} final again", bundle.revision),
            };
            format!("{}:{parts}{revision}", bundle.event_time.as_millis())
        };
        let emitted = self.out.drain(..).map(|event| match &event {
            Event::Bundle(it) => bundle(it),
            Event::Dropped { bundle: it, missing } => format!("dropped {} by {}", bundle(it), missing.0),
            Event::DeadLetter { bundle: it, missing } => format!("dead {} by {}", bundle(it), missing.0),
            Event::Late { item, by_ns } => format!("late {item} by {by_ns}"),
            Event::Duplicate(item) => format!("duplicate {item}"),
            Event::Evicted { item, bound, used: 0 } => format!("evicted {item} {}", bound.as_str()),
            Event::Evicted { item, bound, used } => format!("evicted {item}x{used} {}", bound.as_str()),
            Event::TimestampOutlier(item) => format!("outliers {item}"),
            Event::Epoch { input, from, to, .. } => {
                format!("epoch {} to {} of {}", from.as_millis(), to.as_millis(), input.0)
            }
            Event::Released { item, used } => format!("{item}x{used}"),
        });
        emitted.collect::<Vec<_>>().join(" ")
    }
}
