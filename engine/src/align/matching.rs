//! The seam between a stream and the method by which its samples become bundles.

use super::approximate::Approximate;
use super::bounds::Bound;
use super::event::Event;
use super::exact::Exact;
use super::held::Held;
use super::moment::Moment;
use super::pivot::Pivot;
use super::policy::{AlignPolicy, Method};
use super::spans::Spans;
use super::stream::View;
use crate::sample::TieBreak;

/// A sample that has just come.
#[derive(Debug)]
pub(super) struct Arrival<T> {
    pub(super) input: usize,
    /// Its event time.
    pub(super) time: i64,
    /// Where it ends, exclusive; the same as `time` for what has no length.
    pub(super) end: i64,
    /// What tells it from others of its input and event time.
    pub(super) tie_break: TieBreak,
    pub(super) item: T,
}

impl<T> Arrival<T> {
    /// Where it stands among those of its input.
    pub(super) fn moment(&self) -> Moment {
        Moment { time: self.time, tie_break: self.tie_break }
    }
}

/// What one stream holds of its samples, by the method that joins them.
///
/// A method is one type with the functions that are passed on here. Of each item that was pushed it tells exactly one of
/// `Late`, `Duplicate`, `Evicted` and `Released`; the bundles that it tells as final have rising event times. The clocks of
/// the stream have heard of a sample before its method does. To add one: a variant in [`Method`], one here, and an arm in
/// each function below.
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

    /// Takes a sample and tells what follows from it. Returns by when [`Self::tick`] has to be called if that may be
    /// earlier than before, or [`super::stream::NEVER`].
    #[inline]
    pub(super) fn push(&mut self, view: &View<'_>, arrival: Arrival<T>, out: &mut Vec<Event<T>>) -> i64 {
        match self {
            Self::Pivot(pivot) => pivot.push(view, arrival, out),
            Self::Exact(exact) => exact.push(view, arrival, out),
            Self::Approximate(approximate) => approximate.push(view, arrival, out),
            Self::Spans(spans) => spans.push(view, arrival, out),
        }
    }

    /// Hears of a sample that had ended before a restart: its input and moment. It is held no more, but what follows
    /// from its having come follows. Returns as [`Self::push`] does.
    #[cold]
    pub(super) fn observe(
        &mut self,
        view: &View<'_>,
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
    pub(super) fn tick(&mut self, view: &View<'_>, out: &mut Vec<Event<T>>) {
        match self {
            Self::Pivot(pivot) => pivot.tick(view, out),
            Self::Exact(exact) => exact.tick(view, out),
            Self::Approximate(approximate) => approximate.tick(view, out),
            Self::Spans(spans) => spans.tick(view, out),
        }
    }

    /// When time alone changes something next, as long as something is held. It may be early, never late.
    pub(super) fn deadline(&self, view: &View<'_>) -> i64 {
        match self {
            Self::Pivot(pivot) => pivot.deadline(view),
            Self::Exact(exact) => exact.deadline(view),
            Self::Approximate(approximate) => approximate.deadline(view),
            Self::Spans(spans) => spans.deadline(view),
        }
    }

    /// Closes what is open, as when all inputs are idle, and releases the rest.
    pub(super) fn finish(&mut self, view: &View<'_>, out: &mut Vec<Event<T>>) {
        match self {
            Self::Pivot(pivot) => pivot.finish(view, out),
            Self::Exact(exact) => exact.finish(view, out),
            Self::Approximate(approximate) => approximate.finish(view, out),
            Self::Spans(spans) => spans.finish(view, out),
        }
    }

    /// Closes the earliest bundle that is open as it is, since there is no more room. Says whether there was one.
    pub(super) fn close_now(&mut self, view: &View<'_>, out: &mut Vec<Event<T>>) -> bool {
        match self {
            Self::Pivot(pivot) => pivot.close_now(view, out),
            Self::Exact(exact) => exact.close_now(view, out),
            Self::Approximate(approximate) => approximate.close_now(view, out),
            Self::Spans(spans) => spans.close_now(view, out),
        }
    }

    /// Lets the sample with the earliest event time go, since it is beyond a bound, and tells what follows from it. Says
    /// whether there was one.
    pub(super) fn evict(&mut self, view: &View<'_>, bound: Bound, out: &mut Vec<Event<T>>) -> bool {
        match self {
            Self::Pivot(pivot) => pivot.evict(view, bound, out),
            Self::Exact(exact) => exact.evict(view, bound, out),
            Self::Approximate(approximate) => approximate.evict(view, bound, out),
            Self::Spans(spans) => spans.evict(view, bound, out),
        }
    }

    /// The earliest and the latest event time of the samples that it holds.
    pub(super) fn reach(&self) -> Option<(i64, i64)> {
        match self {
            Self::Pivot(pivot) => pivot.reach(),
            Self::Exact(exact) => exact.reach(),
            Self::Approximate(approximate) => approximate.reach(),
            Self::Spans(spans) => spans.reach(),
        }
    }

    /// How many samples it holds.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Pivot(pivot) => pivot.held(),
            Self::Exact(exact) => exact.held(),
            Self::Approximate(approximate) => approximate.held(),
            Self::Spans(spans) => spans.held(),
        }
    }

    /// Whether it holds none.
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

/// The earliest and the latest of what several reach.
pub(super) fn reach(each: impl Iterator<Item = Option<(i64, i64)>>) -> Option<(i64, i64)> {
    each.flatten().reduce(|one, two| (one.0.min(two.0), one.1.max(two.1)))
}
