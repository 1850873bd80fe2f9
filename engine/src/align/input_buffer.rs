//! The samples of one input of a stream, and the search of a pivot among them.

use smallvec::SmallVec;

use super::bounds::Bound;
use super::bundle::Part;
use super::cover::Places;
use super::event::Event;
use super::held::Held;
use super::queue::Queue;
use super::rules::{Ask, Rule};
use crate::time::Timestamp;

mod find;
mod recent;
mod settled;

use recent::Recent;

/// The samples of one input of one stream, other than the pivot.
#[derive(Debug)]
pub(super) struct InputBuffer<T> {
    /// The latest end of all samples. Nothing after it is covered, so nothing there needs to be added up.
    furthest: i64,
    /// The number of samples inserted.
    inserted: u32,
    /// The samples by event time, then in the order of arrival. Where a join asks for one sample (nearest, latest), no
    /// two have the same time.
    entries: Queue<Entry<T>, 5>,
    /// The samples that left because they had been used, where a sample may be used once.
    recent: Recent,
}

#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) time: i64,
    /// The same as `time` for a sample without length.
    pub(super) end: i64,
    arrived: i64,
    used: u32,
    mark: InsertNumber,
    item: T,
}

/// A sample's number among those of its buffer, and a flag that a pivot has taken it for good. They share one word, since
/// every held sample has one.
#[derive(Clone, Copy, Debug)]
struct InsertNumber(u32);

impl InsertNumber {
    const TAKEN: u32 = 1 << 31;

    /// Numbers repeat after 2^31 samples, which are never held at once.
    const fn new(number: u32) -> Self {
        Self(number & !Self::TAKEN)
    }

    const fn number(self) -> u32 {
        self.0 & !Self::TAKEN
    }

    const fn is_taken(self) -> bool {
        self.0 & Self::TAKEN != 0
    }

    fn take(&mut self) {
        self.0 |= Self::TAKEN;
    }
}

/// The reason for which a sample is not inserted.
#[derive(Debug)]
pub(super) enum NotInserted<T> {
    /// The join prefers another sample of the same time.
    Useless(T),
    /// It repeats another.
    Repeated(T),
}

/// The pivots that may still ask for something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    /// The event time of the last pivot that closed; `i64::MIN` before the first.
    pub(super) closed: i64,
    /// The earliest event time that an open or future pivot can have.
    pub(super) floor: i64,
}

/// The samples that a pivot finds for an input, before it takes them.
#[derive(Debug)]
pub(super) struct FoundSamples {
    /// The places of the samples, in their order.
    pub(super) places: Places,
    from: i64,
    to: i64,
    skew_ns: Option<i64>,
    pub(super) coverage: Option<f64>,
    pub(super) held: bool,
}

impl FoundSamples {
    fn empty(from: i64, to: i64) -> Self {
        Self { places: Places::new(), from, to, skew_ns: None, coverage: None, held: false }
    }

    /// Returns true for a value that holds until the input brings another: its silence confirms the value.
    pub(super) fn holds_on(&self, rule: &Rule) -> bool {
        matches!(rule.ask, Ask::Latest { .. }) && !self.places.is_empty()
    }

    fn push(&mut self, place: usize) {
        self.places.push(u32::try_from(place).unwrap_or(u32::MAX));
    }
}

impl<T> InputBuffer<T> {
    pub(super) fn new() -> Self {
        Self { furthest: i64::MIN, inserted: 0, entries: Queue::new(), recent: Recent::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The numbers of the samples that were found, below 2^31. No two held samples have the same.
    pub(super) fn numbers(&self, found: &FoundSamples) -> impl Iterator<Item = u32> {
        found
            .places
            .iter()
            .filter_map(|place| self.entries.get(*place as usize))
            .map(|entry| entry.mark.number())
    }

    /// The arrival of the first sample, in wall time.
    pub(super) fn first_arrived(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.arrived)
    }

    /// The event time of the first sample.
    pub(super) fn first(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.time)
    }

    /// The event times of the first and the last sample.
    pub(super) fn reach(&self) -> Option<(i64, i64)> {
        self.entries.front().zip(self.entries.back()).map(|(first, last)| (first.time, last.time))
    }

    /// Evicts the first sample, since a bound is exceeded.
    pub(super) fn evict_first(&mut self, bound: Bound, out: &mut Vec<Event<T>>) {
        let evicted = |entry: Entry<T>| Event::Evicted { item: entry.item, bound, used: entry.used };
        out.extend(self.entries.pop_front().map(evicted));
    }

    /// Inserts a sample in order, unless another of the same time makes it useless.
    #[inline]
    pub(super) fn insert(
        &mut self,
        ask: Ask,
        time: i64,
        end: i64,
        now: i64,
        item: T,
    ) -> Result<(), NotInserted<T>>
    where
        T: Held,
    {
        if self.recent.has(time, &item) {
            return Err(NotInserted::Repeated(item));
        }
        let mut at = self.entries.len();
        while let Some(before) = at.checked_sub(1).and_then(|i| self.entries.get(i)) {
            if before.time < time {
                break;
            }
            if before.time == time {
                if self.is_repeated(at, time, &item) {
                    return Err(NotInserted::Repeated(item));
                }
                match ask {
                    Ask::Window { .. } | Ask::NearestOnce { .. } | Ask::Between { .. } => break,
                    Ask::Nearest { .. } | Ask::Latest { .. } => return Err(NotInserted::Useless(item)),
                }
            }
            at -= 1;
        }
        self.furthest = self.furthest.max(end);
        let entry = Entry { time, end, arrived: now, used: 0, mark: InsertNumber::new(self.inserted), item };
        self.inserted = self.inserted.wrapping_add(1);
        self.entries.insert(at, entry);
        Ok(())
    }

    /// Returns true if a sample repeats one with the same time, of those before `at`.
    #[cold]
    fn is_repeated(&self, at: usize, time: i64, item: &T) -> bool
    where
        T: Held,
    {
        let mut same =
            (0..at).rev().map_while(|i| self.entries.get(i)).take_while(|entry| entry.time == time);
        same.any(|entry| item.repeats(&entry.item))
    }

    /// The event for a sample that no pivot ahead can use: it may repeat one that is held or was held lately.
    #[cold]
    pub(super) fn too_late(&self, time: i64, item: T, by_ns: u64) -> Event<T>
    where
        T: Held,
    {
        let after = self.entries.partition_point(|entry| entry.time <= time);
        if self.recent.has(time, &item) || self.is_repeated(after, time, &item) {
            Event::Duplicate(item)
        } else {
            Event::Late { item, by_ns }
        }
    }

    fn spans(&self) -> impl Iterator<Item = (i64, i64)> {
        self.entries.iter().map(|entry| (entry.time, entry.end))
    }

    /// The index of the nearest sample and its distance.
    fn nearest(&self, t: i64, tolerance: i64) -> Option<(usize, i64)> {
        let next = self.entries.partition_point(|entry| entry.time < t);
        let after = self.entries.get(next).map(|entry| (next, entry.time.saturating_sub(t)));
        let before = next
            .checked_sub(1)
            .and_then(|last| self.entries.get(last).map(|entry| (last, t.saturating_sub(entry.time))));
        let best = match (before, after) {
            (Some(before), Some(after)) if before.1 <= after.1 => before,
            (Some(before), None) => before,
            (_, Some(after)) => after,
            (None, None) => return None,
        };
        (best.1 <= tolerance).then_some(best)
    }

    /// The same as [`Self::nearest`], of samples that no pivot has taken; of equal times the first to arrive.
    fn nearest_free(&self, t: i64, tolerance: i64, reserved: &[u32]) -> Option<(usize, i64)> {
        let free = |index: usize, entry: &Entry<T>| {
            !entry.mark.is_taken() && !reserved.iter().any(|place| *place as usize == index)
        };
        let next = self.entries.partition_point(|entry| entry.time < t);
        let ahead = (next..self.entries.len()).filter_map(|index| Some((index, self.entries.get(index)?)));
        let mut best = ahead
            .take_while(|(_, entry)| entry.time.saturating_sub(t) <= tolerance)
            .find(|(index, entry)| free(*index, entry))
            .map(|(index, entry)| (index, entry.time.saturating_sub(t)));
        for (index, entry) in (0..next).rev().filter_map(|index| Some((index, self.entries.get(index)?))) {
            let away = t.saturating_sub(entry.time);
            if away > best.map_or(tolerance, |(_, away)| away) {
                break;
            }
            if free(index, entry) {
                best = Some((index, away));
            }
        }
        best
    }

    /// The index and the time of the last sample at or before `t`.
    fn last_at(&self, t: i64) -> Option<(usize, i64)> {
        let next = self.entries.partition_point(|entry| entry.time <= t);
        next.checked_sub(1).and_then(|last| self.entries.get(last).map(|entry| (last, entry.time)))
    }

    /// The time by which a sample lies wholly before what the pivots ahead can ask for. None if it does not.
    #[inline]
    pub(super) fn late_by(rule: &Rule, ahead: Ahead, time: i64, end: i64) -> Option<u64> {
        let asked = Self::behind(rule.ask, ahead, time, end);
        let by = match rule.hold {
            Some(age) => asked.min(ahead.floor.saturating_sub(age).saturating_sub(time)),
            None => asked,
        };
        u64::try_from(by).ok().filter(|by| *by > 0)
    }

    /// The time by which a sample lies before what the pivots ahead ask for; above 0 none asks for it.
    #[inline]
    fn behind(ask: Ask, Ahead { closed, floor }: Ahead, time: i64, end: i64) -> i64 {
        match ask {
            // A sample that lasts must end after the window's beginning, one without length may lie on it.
            Ask::Window { before, .. } if end > time => {
                floor.saturating_sub(before).saturating_sub(end).saturating_add(1)
            }
            Ask::Between { .. } if closed > i64::MIN => closed.saturating_add(1).saturating_sub(time),
            Ask::Window { before: reach, .. }
            | Ask::Nearest { tolerance: reach }
            | Ask::NearestOnce { tolerance: reach }
            | Ask::Between { max_age: reach }
            | Ask::Latest { max_age: reach } => floor.saturating_sub(reach).saturating_sub(time),
        }
    }

    /// Releases the samples that none of the pivots ahead can use. Returns their number.
    #[inline]
    pub(super) fn release(&mut self, rule: &Rule, ahead: Ahead, out: &mut Vec<Event<T>>) -> usize
    where
        T: Held,
    {
        let floor = ahead.floor;
        let mut released = 0;
        while let Some(first) = self.entries.front() {
            // The sample after it is the better one for every pivot from the floor on.
            let superseded = match (rule.ask, self.entries.get(1)) {
                (Ask::Latest { .. }, Some(second)) => second.time <= floor,
                (Ask::Nearest { .. }, Some(second)) => {
                    second.time.saturating_sub(floor) < floor.saturating_sub(first.time)
                }
                (Ask::NearestOnce { .. }, _) => first.mark.is_taken(),
                _ => false,
            };
            if !superseded && Self::behind(rule.ask, ahead, first.time, first.end) <= 0 {
                break;
            }
            let is_last = |age| {
                floor.saturating_sub(first.time) <= age
                    && self.last_at(floor).is_none_or(|(_, last)| last <= first.time)
            };
            if rule.hold.is_some_and(is_last) {
                break;
            }
            if matches!(rule.ask, Ask::NearestOnce { .. }) && first.mark.is_taken() {
                self.recent.add(first.time, &first.item);
            }
            released += self.release_first(out);
        }
        released
    }

    /// Releases the samples that arrived not later than `until`, in wall time, in the order of event times.
    pub(super) fn release_arrived_until(&mut self, until: i64, out: &mut Vec<Event<T>>) -> usize {
        let mut released = 0;
        while self.first_arrived().is_some_and(|arrived| arrived <= until) {
            released += self.release_first(out);
        }
        released
    }

    fn release_first(&mut self, out: &mut Vec<Event<T>>) -> usize {
        let Some(entry) = self.entries.pop_front() else { return 0 };
        out.push(Event::Released { item: entry.item, used: entry.used });
        1
    }
}

impl<T: Clone> InputBuffer<T> {
    /// Makes a part of the found samples. If it is the `last` part of its pivot, samples that may be used once count as
    /// taken.
    pub(super) fn take(&mut self, found: &FoundSamples, last: bool) -> Part<T> {
        let mut samples = SmallVec::with_capacity(found.places.len());
        for place in &found.places {
            if let Some(entry) = self.entries.get_mut(*place as usize) {
                entry.used = entry.used.saturating_add(1);
                if last && !found.held {
                    entry.mark.take();
                }
                samples.push(entry.item.clone());
            }
        }
        Part {
            samples,
            from: Timestamp::from_nanos(found.from),
            to: Timestamp::from_nanos(found.to),
            skew_ns: found.skew_ns,
            coverage: found.coverage,
            held: found.held,
        }
    }
}
