//! What alignment gives: the samples that belong together.

use smallvec::SmallVec;

use crate::sample::StreamKey;
use crate::time::Timestamp;

/// The samples of one stream that belong together, `T` being an `Arc<Sample>` in the pipeline.
#[derive(Clone, Debug)]
pub struct Bundle<T> {
    /// The stream.
    pub stream: StreamKey,
    /// The event time: the pivot's, or the one that all its samples have. With the stream it identifies the bundle.
    pub event_time: Timestamp,
    /// One part for each input of the pipeline, in their order, the pivot's included.
    pub parts: SmallVec<[Part<T>; 4]>,
    /// Whether it is the first of its stream since the stream was heard of, or heard of again after it was
    /// forgotten or its partition came back: what a model carries on begins anew with it.
    pub first: bool,
    /// When its pivot arrived or, without a pivot, its first sample, in wall time.
    pub opened_at: Timestamp,
    /// When it closed, in wall time.
    pub closed_at: Timestamp,
}

impl<T> Bundle<T> {
    /// Whether every input brought something, and sound covers its whole window.
    pub fn is_complete(&self) -> bool {
        self.parts.iter().all(|part| !part.samples.is_empty() && part.coverage.is_none_or(|c| c >= 1.0))
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
    /// For a window over samples that last, the share of the window that they cover, 0 to 1.
    pub coverage: Option<f64>,
}
