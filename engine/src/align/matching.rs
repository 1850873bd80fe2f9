//! The interface between a stream and the method that joins its samples into bundles.

use super::approximate::Approximate;
use super::arrival::Arrival;
use super::bounds::Bound;
use super::event::Event;
use super::exact::Exact;
use super::held::Held;
use super::moment::Moment;
use super::pivot::Pivot;
use super::policy::{AlignPolicy, Method};
use super::spans::Spans;
use super::view::StreamView;

/// The samples of one stream, held by the method that joins them.
///
/// A method is one type with the functions that are passed on here. Of each pushed item it emits exactly one of
/// `Late`, `Duplicate`, `Evicted` and `Released`; its final bundles have rising event times. The clocks of the stream follow
/// a sample before its method takes it. To add a method, add a variant in [`Method`], one here, and an arm in each function
/// below.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "the largest is the usual one, and a box would be a cache miss a sample"
)]
pub(super) enum Matching<T> {
    Pivot(Pivot<T>),
    Exact(Exact<T>),
    Approximate(Approximate<T>),
    Spans(Spans<T>),
}

impl<T: Held + Clone> Matching<T> {
    pub(super) fn new(policy: &AlignPolicy) -> Self {
        match policy.method {
            Method::Pivot(_) => Self::Pivot(Pivot::new(policy.inputs.len())),
            Method::Exact => Self::Exact(Exact::new(policy.inputs.len())),
            Method::ApproximateTime(_) => Self::Approximate(Approximate::new(policy.inputs.len())),
            Method::Tumbling { .. } | Method::Session { .. } => Self::Spans(Spans::new(policy.inputs.len())),
        }
    }

    /// Takes a sample and emits the resulting events. Returns the time by which [`Self::tick`] has to be called if that may
    /// be earlier than before, or [`super::view::NEVER`].
    #[inline]
    pub(super) fn push(
        &mut self,
        view: &StreamView<'_>,
        arrival: Arrival<T>,
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        match self {
            Self::Pivot(pivot) => pivot.push(view, arrival, out),
            Self::Exact(exact) => exact.push(view, arrival, out),
            Self::Approximate(approximate) => approximate.push(view, arrival, out),
            Self::Spans(spans) => spans.push(view, arrival, out),
        }
    }

    /// Takes the input and moment of a sample that ended before a restart. The sample is not held again; the effects of its
    /// time on bundles follow. Returns as [`Self::push`] does.
    #[cold]
    pub(super) fn observe(
        &mut self,
        view: &StreamView<'_>,
        sample: (usize, Moment),
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        match self {
            Self::Pivot(pivot) => pivot.observe(view, sample, out),
            Self::Exact(exact) => exact.observe(view, sample, out),
            Self::Approximate(_) | Self::Spans(_) => {
                self.tick(view, out);
                self.deadline(view)
            }
        }
    }

    /// Applies what time alone changes.
    pub(super) fn tick(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        match self {
            Self::Pivot(pivot) => pivot.tick(view, out),
            Self::Exact(exact) => exact.tick(view, out),
            Self::Approximate(approximate) => approximate.tick(view, out),
            Self::Spans(spans) => spans.tick(view, out),
        }
    }

    /// The next time at which time alone changes something, while something is held. It may be early, never late.
    pub(super) fn deadline(&self, view: &StreamView<'_>) -> i64 {
        match self {
            Self::Pivot(pivot) => pivot.deadline(view),
            Self::Exact(exact) => exact.deadline(view),
            Self::Approximate(approximate) => approximate.deadline(view),
            Self::Spans(spans) => spans.deadline(view),
        }
    }

    /// Closes all that is open, as when all inputs are idle, and releases the rest.
    pub(super) fn finish(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        match self {
            Self::Pivot(pivot) => pivot.finish(view, out),
            Self::Exact(exact) => exact.finish(view, out),
            Self::Approximate(approximate) => approximate.finish(view, out),
            Self::Spans(spans) => spans.finish(view, out),
        }
    }

    /// Closes the earliest open bundle as it is, since a bound is exceeded. Returns true if there was one.
    pub(super) fn close_now(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) -> bool {
        match self {
            Self::Pivot(pivot) => pivot.close_now(view, out),
            Self::Exact(exact) => exact.close_now(view, out),
            Self::Approximate(approximate) => approximate.close_now(view, out),
            Self::Spans(spans) => spans.close_now(view, out),
        }
    }

    /// Evicts the sample with the earliest event time, since a bound is exceeded, and emits the resulting events. Returns
    /// true if there was one.
    pub(super) fn evict(&mut self, view: &StreamView<'_>, bound: Bound, out: &mut Vec<Event<T>>) -> bool {
        match self {
            Self::Pivot(pivot) => pivot.evict(view, bound, out),
            Self::Exact(exact) => exact.evict(view, bound, out),
            Self::Approximate(approximate) => approximate.evict(view, bound, out),
            Self::Spans(spans) => spans.evict(view, bound, out),
        }
    }

    /// The earliest and the latest event time of the held samples.
    pub(super) fn reach(&self) -> Option<(i64, i64)> {
        match self {
            Self::Pivot(pivot) => pivot.reach(),
            Self::Exact(exact) => exact.reach(),
            Self::Approximate(approximate) => approximate.reach(),
            Self::Spans(spans) => spans.reach(),
        }
    }

    /// The number of held samples.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Pivot(pivot) => pivot.held(),
            Self::Exact(exact) => exact.held(),
            Self::Approximate(approximate) => approximate.held(),
            Self::Spans(spans) => spans.held(),
        }
    }

    /// Returns true if no sample is held.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Pivot(pivot) => pivot.is_empty(),
            Self::Exact(exact) => exact.is_empty(),
            Self::Approximate(approximate) => approximate.is_empty(),
            Self::Spans(spans) => spans.is_empty(),
        }
    }
}
