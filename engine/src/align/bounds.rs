//! Bounds on the memory of the aligner, and the samples that leave when a bound is exceeded.

use std::time::Duration;

/// The most that is held, of one stream and of all streams together. Without any bound only the policy's times limit it.
///
/// The bounds hold after each [`push`](super::Aligner::push). Samples that were put aside because their event times are far
/// from all others count as items and bytes, but not in the span. They leave last, the latest to arrive first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The most samples of a stream.
    pub stream_items: Option<usize>,
    /// The most bytes of a stream's samples, by [`Held::weight`](super::Held::weight).
    pub stream_bytes: Option<u64>,
    /// The longest event time between the beginnings of the earliest and the latest sample of a stream.
    pub stream_span: Option<Duration>,
    /// The most samples of all streams.
    pub items: Option<usize>,
    /// The most bytes of all streams' samples.
    pub bytes: Option<u64>,
    /// The rule that selects what leaves.
    pub overflow: Overflow,
}

impl Bounds {
    /// Returns true if there is any bound.
    pub fn is_any(&self) -> bool {
        self.is_any_in_all()
            || self.stream_items.is_some()
            || self.stream_bytes.is_some()
            || self.stream_span.is_some()
    }

    /// Returns true if there is a bound over all streams together.
    pub fn is_any_in_all(&self) -> bool {
        self.items.is_some() || self.bytes.is_some()
    }

    /// The bounds of one of several aligners that share the streams and together keep to these bounds. At least one
    /// item.
    #[must_use]
    pub fn share_of(self, aligners: usize) -> Self {
        let aligners = aligners.max(1);
        Self {
            items: self.items.map(|items| (items / aligners).max(1)),
            bytes: self.bytes.map(|bytes| bytes / aligners as u64),
            ..self
        }
    }
}

/// The rule that selects what leaves when a bound is exceeded.
///
/// If a bound of one stream is exceeded, that stream loses something. If a bound over all streams is exceeded, a stream
/// among the largest loses something: none holds twice as much. So a stream that floods does no harm to small ones. The
/// choice is cheap: streams are ranked by the number of binary digits of their amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The earliest open bundle closes as it is, as it would after `max_wait`, with the reason
    /// [`Lack::Overflow`](super::Lack::Overflow) for inputs that it still waited for. If none is open, or if that releases
    /// nothing that helps, the sample with the earliest event time is evicted.
    #[default]
    Close,
    /// The sample with the earliest event time is evicted; of equal times that of the first input, and a pivot last. If it
    /// is a pivot, its bundle is not made, and its samples are left for the next pivot. A bundle that was emitted before
    /// it was final cannot be withdrawn: it closes as it is.
    DropOldest,
    /// The arriving sample is refused, unless its event time settles enough to make room: it moves the watermark in any
    /// case. It is refused even if it is late or a duplicate.
    DropNewest,
}

/// The bound for which a sample was evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// [`ApproximateTime::queue`](super::ApproximateTime::queue).
    Queue,
    /// [`Bounds::stream_items`].
    StreamItems,
    /// [`Bounds::stream_bytes`].
    StreamBytes,
    /// [`Bounds::stream_span`].
    StreamSpan,
    /// [`Bounds::items`].
    Items,
    /// [`Bounds::bytes`].
    Bytes,
}

impl Bound {
    /// The bound's name in metrics, headers and settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::StreamItems => "stream-items",
            Self::StreamBytes => "stream-bytes",
            Self::StreamSpan => "stream-span",
            Self::Items => "items",
            Self::Bytes => "bytes",
        }
    }
}
