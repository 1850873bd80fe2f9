//! What alignment gives: the samples that belong together.

use smallvec::SmallVec;

use crate::position::{InputId, Position};
use crate::sample::StreamKey;
use crate::time::Timestamp;

/// The samples of one stream that belong together, `T` being an `Arc<Sample>` in the pipeline.
#[derive(Clone, Debug)]
pub struct Bundle<T> {
    /// The stream.
    pub stream: StreamKey,
    /// The event time: the pivot's, the one that all samples have (exact), the latest of them (approximate time), or the
    /// beginning of the span. With the stream, and `record` if there is one, it identifies the bundle.
    pub event_time: Timestamp,
    /// The record that tells the bundle from others of its stream and event time: the pivot's or, without a pivot, that
    /// of the first input whose samples are told apart. None where the event time alone does.
    pub record: Option<Position>,
    /// One part for each input of the pipeline, in their order, the pivot's included.
    pub parts: SmallVec<[Part<T>; 4]>,
    /// Whether it is the first of its stream since the stream was heard of, or heard of again after it was
    /// forgotten or its partition came back: what a model carries on begins anew with it.
    pub first: bool,
    /// When its pivot arrived or, without a pivot, its first sample, by the clock that the aligner is told.
    pub opened_at: Timestamp,
    /// When it closed, by the same clock.
    pub closed_at: Timestamp,
    /// How many times it was told before with other content.
    pub revision: u32,
    /// Whether this is the last that is told of it.
    pub is_final: bool,
    /// Whether it was told before with the very same content, and this only says that it is final.
    pub is_repeated: bool,
    /// The inputs that brought too little, or that might have brought more or something else had the bundle not closed
    /// early, in their order; none of those that are optional, or held.
    pub incomplete: SmallVec<[Shortfall; 4]>,
}

impl<T> Bundle<T> {
    /// Whether every input that is required brought enough, and all that it could.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }

    /// Tells its times by another clock, which is so far ahead of the one that the aligner was told.
    pub fn set_ahead(&mut self, by_ns: i64) {
        for time in [&mut self.opened_at, &mut self.closed_at] {
            *time = Timestamp::from_nanos(time.as_nanos().saturating_add(by_ns));
        }
    }

    /// How long it was open, in nanoseconds by the clock that the aligner was told.
    pub fn wait_ns(&self) -> i64 {
        self.closed_at.nanos_since(self.opened_at).max(0)
    }
}

/// An input that brought too little to a bundle, or was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// The input.
    pub input: InputId,
    /// What is wrong with what it brought.
    pub lack: Lack,
}

/// Why an input brought too little, or perhaps not all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// There is no sample that belongs to the bundle, and none can come any more.
    Missing,
    /// There are fewer than `min_count`, and no more can come.
    MinCount,
    /// They cover less than `min_coverage`, or less than the whole where that is not set, and no more can come.
    MinCoverage,
    /// More might have come, but the input was idle, or the end was near. Not told of an input of which the latest value is
    /// asked and there is one: it holds while the input is silent.
    Idle,
    /// More might have come, but the bundle had waited for `max_wait`.
    MaxWait,
    /// More might have come, but more was held than may be.
    Overflow,
}

impl Lack {
    /// Its name in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::MinCount => "min-count",
            Self::MinCoverage => "min-coverage",
            Self::Idle => "idle",
            Self::MaxWait => "max-wait",
            Self::Overflow => "overflow",
        }
    }
}

/// What one input brought.
#[derive(Clone, Debug)]
pub struct Part<T> {
    /// Its samples, by event time, then in the order of arrival. Empty when the input is missing.
    pub samples: SmallVec<[T; 2]>,
    /// From when to when this input was asked for, in event time: the window, or for the other
    /// joins the bundle's own time, twice.
    pub from: Timestamp,
    /// See `from`; exclusive.
    pub to: Timestamp,
    /// How far the sample furthest from the bundle's time begins from it, in nanoseconds and with its
    /// sign. For a window, how far the nearest edge of what it brought lies from the window: 0 when
    /// something lies in it. `None` when the input is missing.
    pub skew_ns: Option<i64>,
    /// For a window over samples that last, the share of the window that they cover, 0 to 1. Gaps between two of them that
    /// are within the slack count as covered (see [`Join::Window`](super::Join::Window)).
    pub coverage: Option<f64>,
    /// Whether the sample is an earlier one that is used again, since none belongs to the bundle.
    pub held: bool,
}

impl<T> Part<T> {
    /// A part without samples.
    pub fn empty(from: Timestamp, to: Timestamp) -> Self {
        Self { samples: SmallVec::new(), from, to, skew_ns: None, coverage: None, held: false }
    }
}
