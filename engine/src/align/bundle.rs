//! Bundles, the results of alignment: samples that belong together.

use smallvec::SmallVec;

use crate::position::{InputId, Position};
use crate::sample::StreamKey;
use crate::time::Timestamp;

/// The samples of one stream that belong together. `T` is an `Arc<Sample>` in the pipeline.
#[derive(Clone, Debug)]
pub struct Bundle<T> {
    /// The stream.
    pub stream: StreamKey,
    /// The event time: the pivot's, the common one of all samples (exact), the latest of them (approximate time), or the
    /// beginning of the span. With the stream, and `record` if there is one, it identifies the bundle.
    pub event_time: Timestamp,
    /// The record that distinguishes the bundle from others of its stream and event time. It is the pivot's or, without a
    /// pivot, that of the first input whose samples have a tie-break. None if the event time alone identifies the bundle.
    pub record: Option<Position>,
    /// One part for each input of the pipeline, in their order, the pivot's included.
    pub parts: SmallVec<[Part<T>; 4]>,
    /// Set for the first bundle of its stream: the first ever, or the first after the stream was forgotten or its partition
    /// came back. The stream state of a model begins anew with it.
    pub first: bool,
    /// The arrival of its pivot or, without a pivot, of its first sample, by the clock that the aligner is given.
    pub opened_at: Timestamp,
    /// The time at which it closed, by the same clock.
    pub closed_at: Timestamp,
    /// The number of times it was emitted before with other content.
    pub revision: u32,
    /// Set for the last result of this bundle.
    pub is_final: bool,
    /// Set if it was emitted before with exactly the same content, and this result only says that it is final.
    pub is_repeated: bool,
    /// The inputs that brought too little, or that might have brought more or something else if the bundle had not closed
    /// early, in their order. Optional and held inputs are left out.
    pub incomplete: SmallVec<[Shortfall; 4]>,
}

impl<T> Bundle<T> {
    /// Returns true if every required input brought enough, and all that it could.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }

    /// Converts its times to another clock, which is ahead of the aligner's clock by `by_ns` nanoseconds.
    pub fn set_ahead(&mut self, by_ns: i64) {
        for time in [&mut self.opened_at, &mut self.closed_at] {
            *time = Timestamp::from_nanos(time.as_nanos().saturating_add(by_ns));
        }
    }

    /// The time it was open, in nanoseconds by the clock that the aligner is given.
    pub fn wait_ns(&self) -> i64 {
        self.closed_at.nanos_since(self.opened_at).max(0)
    }
}

/// An input that brought too little to a bundle, or was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// The input.
    pub input: InputId,
    /// The deficiency of its samples.
    pub lack: Lack,
}

/// The reason why an input brought too little, or perhaps not all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// No sample belongs to the bundle, and none can come any more.
    Missing,
    /// There are fewer samples than `min_count`, and no more can come.
    MinCount,
    /// The samples cover less than `min_coverage`, or less than the whole where that is not set, and no more can come.
    MinCoverage,
    /// More might have come, but the input was idle, or the end was near. Not used if the join is `latest` and there is a
    /// value: it holds while the input is silent.
    Idle,
    /// More might have come, but the bundle had waited for `max_wait`.
    MaxWait,
    /// More might have come, but a memory bound was exceeded.
    Overflow,
}

impl Lack {
    /// The name used in results.
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

/// The samples of one input in a bundle.
#[derive(Clone, Debug)]
pub struct Part<T> {
    /// The samples, by event time, then in the order of arrival. Empty when the input is missing.
    pub samples: SmallVec<[T; 2]>,
    /// The beginning of the event time for which this input was asked: the window, or for the other
    /// joins the bundle's own time, twice.
    pub from: Timestamp,
    /// The end of that event time, exclusive; see `from`.
    pub to: Timestamp,
    /// The distance of the furthest sample's beginning from the bundle's time, in nanoseconds and with its
    /// sign. For a window, the distance of the nearest sample's edge from the window: 0 when
    /// something lies in it. `None` when the input is missing.
    pub skew_ns: Option<i64>,
    /// The share of a window that samples that last cover, 0 to 1. Gaps between two of them within the slack count as
    /// covered (see [`Join::Window`](super::Join::Window)).
    pub coverage: Option<f64>,
    /// Set if the sample is an earlier one that is used again, since none belongs to the bundle.
    pub held: bool,
}

impl<T> Part<T> {
    /// A part without samples.
    pub fn empty(from: Timestamp, to: Timestamp) -> Self {
        Self { samples: SmallVec::new(), from, to, skew_ns: None, coverage: None, held: false }
    }
}
