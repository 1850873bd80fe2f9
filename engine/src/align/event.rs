//! The input and output of the aligner: a stamp for each sample, and events.

use std::time::Duration;

use super::bounds::Bound;
use super::bundle::Bundle;
use crate::position::InputId;
use crate::sample::{Sample, StreamKey, TieBreak};
use crate::time::Timestamp;

/// The times and origin of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The moment at which it happened, or began.
    pub event_time: Timestamp,
    /// Its length; zero for a sample without length.
    pub duration: Duration,
    /// The partition of its input's topic that it came from. Alignment ignores it; only
    /// [`super::Aligner::forget_partitions`] uses it.
    pub partition: i32,
    /// The tie-break among samples of its stream, input and event time.
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

/// An outcome that the aligner emits.
///
/// Each pushed item ends in exactly one of `Late`, `Duplicate`, `Evicted`, `TimestampOutlier` and `Released`, unless
/// its stream was forgotten because of a revocation. A `Released` or `Evicted` item was in exactly `used` bundles, all
/// emitted before; the others were in none.
#[derive(Clone, Debug)]
pub enum Event<T> {
    /// A bundle goes on: it has closed or, if it is not final, may be emitted again.
    Bundle(Box<Bundle<T>>),
    /// A bundle has closed with too little of an input whose policy is `Drop`.
    Dropped {
        /// The bundle.
        bundle: Box<Bundle<T>>,
        /// The first input that brought too little and has this policy.
        missing: InputId,
    },
    /// A bundle has closed with too little of an input whose policy is `DeadLetter`.
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
        /// The least time, in nanoseconds, by which its event time would have to be later to take part; at least 1.
        by_ns: u64,
    },
    /// A sample whose place in a bundle another of its input and event time has. It is a pivot, or the method is one that
    /// joins samples with the same time, and no [`TieBreak`] distinguishes the two. Or the sample
    /// [repeats](super::Held::repeats) another that is held.
    Duplicate(T),
    /// The sample was evicted: a bound was exceeded.
    Evicted {
        /// The sample.
        item: T,
        /// The exceeded bound.
        bound: Bound,
        /// The number of bundles it was in, those dropped or dead-lettered included.
        used: u32,
    },
    /// The sample's event time was far from those before and after it. See [`super::ClockPolicy::epoch_after`].
    TimestampOutlier(T),
    /// The clock of a source has stepped, and its stream begins anew: everything open closes next.
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
    /// The sample has left the buffers: no future bundle can contain it.
    Released {
        /// The sample.
        item: T,
        /// The number of bundles it was in, those dropped or dead-lettered included.
        used: u32,
    },
}

impl<T> Event<T> {
    /// The sample whose end this event is. None for events of bundles and epochs.
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

/// The number of samples that have left the buffers, by the events from `from` on.
#[inline]
pub(super) fn ended<T>(out: &[Event<T>], from: usize) -> usize {
    let events = out.get(from..).unwrap_or_default();
    events.iter().filter(|event| event.ended().is_some()).count()
}
