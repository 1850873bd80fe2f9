//! The boundaries of spans.

use super::policy::Method;
use super::queue::Queue;
use crate::time::nanos;

/// The most spans in a row that a sample is in; a longer sample counts as ended there. So a record that claims to last
/// for years makes no flood of bundles.
pub(super) const MOST_SPANS: i64 = 10_000;

/// The rule that cuts event time into spans, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    Tumbling { size: i64 },
    Session { gap: i64, max: i64 },
}

/// A span that holds something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OpenSpan {
    pub(super) from: i64,
    /// The end of the last sample, for a session.
    pub(super) end: i64,
    /// The smallest delay of its samples, from their event time to their arrival.
    pub(super) delay: i64,
}

impl Cut {
    pub(super) fn new(method: &Method) -> Self {
        match method {
            Method::Session { gap, max } => Self::Session { gap: nanos(*gap), max: nanos(*max).max(1) },
            Method::Tumbling { size } => Self::Tumbling { size: nanos(*size).max(1) },
            Method::Pivot(_) | Method::Exact | Method::ApproximateTime(_) => {
                Self::Tumbling { size: i64::MAX }
            }
        }
    }

    /// The end of the longest possible span, exclusive.
    #[inline]
    pub(super) fn limit(self, from: i64) -> i64 {
        match self {
            // The earliest span may begin before time does.
            Self::Tumbling { size } => from.saturating_add(size - from.rem_euclid(size)),
            Self::Session { max, .. } => from.saturating_add(max),
        }
    }

    /// The event time from which on no sample can change the span, if none is expected before it begins.
    #[inline]
    pub(super) fn closes_at(self, span: &OpenSpan) -> i64 {
        let limit = self.limit(span.from);
        match self {
            Self::Tumbling { .. } => limit,
            Self::Session { gap, .. } => span.end.saturating_add(gap).saturating_add(1).min(limit),
        }
    }

    /// The end of a sample that is in no more than [`MOST_SPANS`] spans.
    pub(super) fn end_of(self, time: i64, end: i64) -> i64 {
        let furthest = match self {
            Self::Tumbling { size } => {
                time.saturating_sub(time.rem_euclid(size)).saturating_add(size.saturating_mul(MOST_SPANS))
            }
            Self::Session { max, .. } => time.saturating_add(max.saturating_mul(MOST_SPANS)),
        };
        end.min(furthest)
    }

    /// Puts a sample's time into the open span where it begins. `open` is ordered by time. Sessions that it connects
    /// become one. Returns the span's index, and true if it is new or begins earlier.
    pub(super) fn open(
        self,
        open: &mut Queue<OpenSpan, 3>,
        time: i64,
        end: i64,
        delay: i64,
    ) -> (usize, bool) {
        let (gap, from, end) = match self {
            // Spans of a fixed length connect if they are the same.
            Self::Tumbling { size } => {
                let from = time.saturating_sub(time.rem_euclid(size));
                (0, from, from)
            }
            Self::Session { gap, .. } => (gap, time, end),
        };
        let mut after = open.len();
        while let Some(before) = after.checked_sub(1).and_then(|at| open.get(at))
            && before.from.saturating_sub(end) > gap
        {
            after -= 1;
        }
        let mut span = OpenSpan { from, end, delay };
        let mut first = after;
        while let Some(other) = first.checked_sub(1).and_then(|at| open.get(at))
            && from.saturating_sub(other.end) <= gap
        {
            span = OpenSpan {
                from: other.from.min(span.from),
                end: other.end.max(span.end),
                delay: other.delay.min(span.delay),
            };
            first -= 1;
        }
        for at in (first.saturating_add(1)..after).rev() {
            open.remove(at);
        }
        match open.get_mut(first) {
            Some(place) if first < after => {
                let earlier = span.from < place.from;
                *place = span;
                (first, earlier)
            }
            _ => {
                open.insert(first, span);
                (first, true)
            }
        }
    }
}
