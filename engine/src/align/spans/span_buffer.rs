//! The samples of one input of a stream, and the search of a span among them.

use smallvec::SmallVec;

use crate::align::bounds::Bound;
use crate::align::bundle::Part;
use crate::align::cover::{Slack, covering, is_covered};
use crate::align::event::Event;
use crate::align::held::Held;
use crate::align::queue::Queue;

/// The samples of one input of one stream.
#[derive(Debug)]
pub(super) struct SpanBuffer<T> {
    /// The latest end of the samples that last: beyond it nothing is covered.
    furthest: i64,
    /// The samples by event time, then in the order of arrival.
    entries: Queue<SpanEntry<T>, 4>,
}

#[derive(Debug)]
pub(super) struct SpanEntry<T> {
    pub(super) time: i64,
    /// The same as `time` for a sample without length.
    pub(super) end: i64,
    pub(super) arrived: i64,
    pub(super) used: u32,
    pub(super) item: T,
}

impl<T> SpanEntry<T> {
    /// The first time after it.
    fn over(&self) -> i64 {
        self.end.max(self.time.saturating_add(1))
    }
}

impl<T> SpanBuffer<T> {
    pub(super) fn new() -> Self {
        Self { furthest: i64::MIN, entries: Queue::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn first(&self) -> Option<&SpanEntry<T>> {
        self.entries.front()
    }

    /// The event times of the first and the last sample.
    pub(super) fn reach(&self) -> Option<(i64, i64)> {
        self.entries.front().zip(self.entries.back()).map(|(first, last)| (first.time, last.time))
    }

    /// Evicts the first sample, since a bound is exceeded.
    pub(super) fn evict_first(&mut self, bound: Bound, out: &mut Vec<Event<T>>) -> Option<(i64, i64)> {
        let entry = self.entries.pop_front()?;
        let ends = (entry.time, entry.over());
        out.push(Event::Evicted { item: entry.item, bound, used: entry.used });
        Some(ends)
    }

    /// Inserts a sample in order. Returns it as the error if it repeats one with the same time.
    pub(super) fn insert(&mut self, entry: SpanEntry<T>) -> Result<(), T>
    where
        T: Held,
    {
        let mut at = self.entries.len();
        while let Some(last) = at.checked_sub(1).and_then(|i| self.entries.get(i))
            && last.time >= entry.time
        {
            if last.time == entry.time {
                if self.is_repeated(at, &entry) {
                    return Err(entry.item);
                }
                break;
            }
            at -= 1;
        }
        if entry.end > entry.time {
            self.furthest = self.furthest.max(entry.end);
        }
        self.entries.insert(at, entry);
        Ok(())
    }

    /// Returns true if a sample repeats one with the same time, of those before `at`.
    #[cold]
    fn is_repeated(&self, at: usize, entry: &SpanEntry<T>) -> bool
    where
        T: Held,
    {
        let mut same =
            (0..at).rev().map_while(|i| self.entries.get(i)).take_while(|other| other.time == entry.time);
        same.any(|other| entry.item.repeats(&other.item))
    }

    /// The samples that begin before `time`.
    pub(super) fn before(&self, time: i64) -> impl Iterator<Item = &SpanEntry<T>> {
        self.entries.iter().take_while(move |entry| entry.time < time)
    }

    /// The first time after all that begin before `time`.
    pub(super) fn over(&self, time: i64) -> Option<i64> {
        self.before(time).map(SpanEntry::over).max()
    }

    fn times(&self) -> impl Iterator<Item = (i64, i64)> {
        self.entries.iter().map(|entry| (entry.time, entry.end))
    }

    /// Returns true if samples that last cover the rest of the span `[begin, to)` whole, from `from` on.
    pub(super) fn covers(&self, (begin, from, to): (i64, i64, i64), slack: Slack) -> bool {
        self.furthest >= to && is_covered(self.times(), (begin, from, to), slack)
    }

    /// Releases the samples that have no place after `to`.
    pub(super) fn release(&mut self, to: i64, out: &mut Vec<Event<T>>) {
        let mut lasting = SmallVec::<[SpanEntry<T>; 2]>::new();
        while self.entries.front().is_some_and(|first| first.time < to)
            && let Some(entry) = self.entries.pop_front()
        {
            if entry.end > to {
                lasting.push(entry);
            } else {
                out.push(Event::Released { item: entry.item, used: entry.used });
            }
        }
        while let Some(entry) = lasting.pop() {
            self.entries.insert(0, entry);
        }
    }
}

impl<T: Clone> SpanBuffer<T> {
    /// Puts the samples that the span needs into its part.
    pub(super) fn pick(&mut self, from: i64, to: i64, slack: Slack, part: &mut Part<T>) {
        if self.furthest > from {
            let (taken, coverage) = covering(self.times(), from, to, slack);
            part.coverage = coverage;
            for place in taken {
                self.give(place as usize, part);
            }
        } else {
            // No sample that lasts reaches into the span.
            let mut place = 0;
            while let Some(entry) = self.entries.get(place)
                && entry.time < to
            {
                if entry.end == entry.time && entry.time >= from {
                    self.give(place, part);
                }
                place += 1;
            }
        }
        part.skew_ns = (!part.samples.is_empty()).then_some(0);
    }

    fn give(&mut self, place: usize, part: &mut Part<T>) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.used = entry.used.saturating_add(1);
            part.samples.push(entry.item.clone());
        }
    }
}
