//! How much is held at most, and who goes when it is more.

use std::time::Duration;

/// The most that is held, of a stream and of all streams together. Without any of them only the policy's times bound it.
///
/// They hold after each [`push`](super::Aligner::push). Samples that were put aside because their event times are far from
/// all others count as items and bytes, but not in the span. They go last, and of them the latest to arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The most samples of a stream.
    pub stream_items: Option<usize>,
    /// The most bytes of a stream's samples, as [`Held::weight`](super::Held::weight) tells them.
    pub stream_bytes: Option<u64>,
    /// The longest event time from the earliest to the latest sample of a stream, by when they begin.
    pub stream_span: Option<Duration>,
    /// The most samples of all streams.
    pub items: Option<usize>,
    /// The most bytes of all streams' samples.
    pub bytes: Option<u64>,
    /// Who goes.
    pub overflow: Overflow,
}

impl Bounds {
    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        self.is_any_in_all()
            || self.stream_items.is_some()
            || self.stream_bytes.is_some()
            || self.stream_span.is_some()
    }

    /// Whether there is one of all streams together.
    pub fn is_any_in_all(&self) -> bool {
        self.items.is_some() || self.bytes.is_some()
    }

    /// The bounds of one of so many aligners that together keep to these: the streams are spread over them. At least one
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

/// Who goes when more is held than may be.
///
/// Of a stream's bounds it is that stream that lets something go; of those of all streams together, one of those that hold
/// the most: none holds twice as much. So a stream that floods does no harm to those that hold little. And it is cheap to
/// know: streams are kept by how many binary digits their amount has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The earliest bundle that is open closes as it is, as it would after `max_wait`, with the reason
    /// [`Lack::Overflow`](super::Lack::Overflow) for inputs that were still waited for. If none is open or that lets nothing
    /// go that helps, the sample with the earliest event time is evicted.
    #[default]
    Close,
    /// The sample with the earliest event time is evicted; of equal times that of the first input, and a pivot last. If it is
    /// a pivot, its bundle is not made, and what that would have had is for the next pivot. One whose bundle was told
    /// before it was final cannot be taken back: that bundle closes as it is.
    DropOldest,
    /// The sample that comes is refused, unless what its event time settles makes room: it moves the watermark all the
    /// same. It is refused though it may be late or a duplicate.
    DropNewest,
}

/// Why a sample had to make room.
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
    /// Its name in metrics, headers and settings.
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
