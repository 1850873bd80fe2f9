//! What the aligner is told of a sample, and what it tells.

use std::time::Duration;

use super::bounds::Bound;
use super::bundle::Bundle;
use crate::position::InputId;
use crate::sample::{Sample, StreamKey, TieBreak};
use crate::time::Timestamp;

/// What the aligner needs to know of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When it happened, or began.
    pub event_time: Timestamp,
    /// How long it lasts; zero for what has no length.
    pub duration: Duration,
    /// The partition of its input's topic that it came from: of no meaning to the alignment, but
    /// [`super::Aligner::forget_partitions`] goes by it.
    pub partition: i32,
    /// What tells it from others of its stream, input and event time.
    pub tie_break: TieBreak,
}

impl Stamp {
    /// The stamp of a sample of partition 0 that its event time identifies.
    pub fn new(event_time: Timestamp, duration: Duration) -> Self {
        Self { event_time, duration, partition: 0, tie_break: TieBreak::NONE }
    }
}

impl From<&Sample> for Stamp {
    fn from(sample: &Sample) -> Self {
        Self {
            event_time: sample.event_time,
            duration: sample.duration,
            partition: sample.position().partition.partition,
            tie_break: sample.tie_break(),
        }
    }
}

/// What the aligner tells.
///
/// Each item that was pushed ends in exactly one of `Late`, `Duplicate`, `Evicted`, `TimestampOutlier` and `Released`, unless its
/// stream was forgotten because of a revocation. A `Released` or `Evicted` item was in exactly `used` bundles, all of
/// them told before; the others were in none.
#[derive(Clone, Debug)]
pub enum Event<T> {
    /// A bundle goes on: it has closed or, if it is not final, may be told again.
    Bundle(Box<Bundle<T>>),
    /// A bundle has closed with too little of an input whose policy is to drop it.
    Dropped {
        /// The bundle.
        bundle: Box<Bundle<T>>,
        /// The first input that brought too little and has this policy.
        missing: InputId,
    },
    /// A bundle has closed with too little of an input whose policy is to dead-letter it.
    DeadLetter {
        /// The bundle.
        bundle: Box<Bundle<T>>,
        /// The first input that brought too little and has this policy.
        missing: InputId,
    },
    /// The sample came when no bundle could take it any more.
    Late {
        /// The sample.
        item: T,
        /// How much later its event time would have to be to take part still, in nanoseconds; at least 1.
        by_ns: u64,
    },
    /// A sample with the event time of another of its input, which has its place in the bundle: one of the pivot, or
    /// where the same times make a bundle, unless a [`TieBreak`] tells them apart. Or one that [repeats](super::Held::repeats) another that is held.
    Duplicate(T),
    /// The sample had to make room: more was held than may be.
    Evicted {
        /// The sample.
        item: T,
        /// Of what there was more.
        bound: Bound,
        /// How many bundles it was in, those dropped or dead-lettered counted.
        used: u32,
    },
    /// The sample's event time was far from those before and after it. See [`super::ClockPolicy::epoch_after`].
    TimestampOutlier(T),
    /// The clock of a source has stepped, and its stream begins anew: what was open closes next.
    Epoch {
        /// The stream.
        stream: StreamKey,
        /// The input whose clock has stepped.
        input: InputId,
        /// Its latest event time before.
        from: Timestamp,
        /// The first event time after.
        to: Timestamp,
    },
    /// The sample has left the buffers: no bundle to come can contain it.
    Released {
        /// The sample.
        item: T,
        /// How many bundles it was in, those dropped or dead-lettered counted.
        used: u32,
    },
}

impl<T> Event<T> {
    /// The sample of which it is the end, if it is not of a bundle.
    #[inline]
    pub(super) fn ended(&self) -> Option<&T> {
        match self {
            Self::Late { item, .. }
            | Self::Duplicate(item)
            | Self::Evicted { item, .. }
            | Self::TimestampOutlier(item)
            | Self::Released { item, .. } => Some(item),
            Self::Bundle(_) | Self::Dropped { .. } | Self::DeadLetter { .. } | Self::Epoch { .. } => None,
        }
    }
}

/// How many samples have left the buffers, by what was told from some event on.
#[inline]
pub(super) fn ended<T>(out: &[Event<T>], from: usize) -> usize {
    let told = out.get(from..).unwrap_or_default();
    told.iter().filter(|event| event.ended().is_some()).count()
}
