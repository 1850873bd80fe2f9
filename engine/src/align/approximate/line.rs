//! The samples of one input: ordered, and held until no set can take them or depends on them.

use super::super::held::Held;
use super::super::moment::Moment;
use super::super::queue::Queue;
use super::super::same_time::SameTimeIds;
use crate::sample::TieBreak;

/// The samples of one input of one stream.
#[derive(Debug)]
pub(super) struct Line<T> {
    /// The samples by moment; no two have the same. With inputs that are out of order by less than a period, three are held.
    /// One is of the current set, one may be a better partner, and one proves the second to be in order.
    entries: Queue<SetEntry<T>, 3>,
    /// The number of first samples that the watermark has passed: samples that come in order come after these.
    ready: usize,
    /// The place of the search.
    cursor: usize,
    /// The number of first samples that the best set so far has passed over and that are still held: one at most.
    kept: usize,
    /// No earlier event time is expected.
    watermark: i64,
    /// The last sample that left.
    left: Moment,
    /// The ids of the samples that left at the event time of the last one.
    same_time: SameTimeIds,
    /// Set while no sample is expected at all: then all held samples count as in order.
    over: bool,
    /// Set if an evicted sample might have made a better set than those that are left.
    lossy: bool,
}

/// A sample and its arrival.
#[derive(Debug)]
pub(super) struct SetEntry<T> {
    /// Its event time.
    pub(super) time: i64,
    /// The tie-break among samples of its event time.
    pub(super) tie_break: TieBreak,
    /// The arrival, in wall time.
    pub(super) arrived: i64,
    /// The earliest arrival of it and all after it in event time. They leave in this order, so when one has waited long
    /// enough, those before it have to leave too.
    waits_since: i64,
    pub(super) item: T,
}

/// The reason for which a sample is not taken.
#[derive(Debug)]
pub(super) enum NotTaken<T> {
    /// It repeats another, or one of the same moment is held or was the last to leave.
    Duplicate(T),
    /// A sample at or after this event time has left. It is late by this time, in nanoseconds.
    Late(T, u64),
}

impl<T> SetEntry<T> {
    pub(super) fn moment(&self) -> Moment {
        Moment { time: self.time, tie_break: self.tie_break }
    }
}

impl<T: Held> Line<T> {
    pub(super) fn new() -> Self {
        Self {
            entries: Queue::new(),
            ready: 0,
            cursor: 0,
            kept: 0,
            watermark: i64::MIN,
            left: Moment::NEVER,
            same_time: SameTimeIds::default(),
            over: false,
            lossy: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The event times of the first and the last sample.
    pub(super) fn reach(&self) -> Option<(i64, i64)> {
        self.entries.front().zip(self.entries.back()).map(|(first, last)| (first.time, last.time))
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn set_over(&mut self, over: bool) {
        self.over = over;
    }

    pub(super) fn is_lossy(&self) -> bool {
        self.lossy
    }

    pub(super) fn set_lossy(&mut self, lossy: bool) {
        self.lossy = lossy;
    }

    /// The arrival of the first sample, or of one after it if that came before, in wall time.
    pub(super) fn waits_since(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.waits_since)
    }

    /// The number of samples that the search may look at.
    fn known(&self) -> usize {
        if self.over { self.entries.len() } else { self.ready }
    }

    /// Inserts a sample in order. Returns true if it comes before or in place of a sample that the search has seen: within
    /// the configured disorder it never does.
    #[inline]
    pub(super) fn insert(
        &mut self,
        moment: Moment,
        watermark: i64,
        now: i64,
        item: T,
    ) -> Result<bool, NotTaken<T>> {
        self.watermark = watermark;
        let known = self.known();
        if moment == self.left || (moment.tie_break.is_some() && self.repeats(moment.time, &item)) {
            return Err(NotTaken::Duplicate(item));
        }
        if let Some(by_ns) = moment.late_after(self.left) {
            return Err(NotTaken::Late(item, by_ns));
        }
        let mut at = self.entries.len();
        while let Some(before) = at.checked_sub(1).and_then(|i| self.entries.get(i)) {
            if before.moment() < moment {
                break;
            }
            if before.moment() == moment {
                return Err(NotTaken::Duplicate(item));
            }
            at -= 1;
        }
        let waits_since = self.entries.get(at).map_or(now, |next| next.waits_since);
        let Moment { time, tie_break } = moment;
        let entry = SetEntry { time, tie_break, arrived: now, waits_since, item };
        self.entries.insert(at, entry);
        self.ready += usize::from(at < self.ready);
        while self.entries.get(self.ready).is_some_and(|next| next.time <= watermark) {
            self.ready += 1;
        }
        Ok(at < known && at <= self.cursor)
    }

    /// Returns true if a sample repeats another of its event time that is held, or has just left.
    fn repeats(&self, time: i64, item: &T) -> bool {
        let is_last = self.entries.back().is_none_or(|entry| entry.time < time) && self.left.time < time;
        if is_last || item.fingerprint().is_none() {
            return false;
        }
        let held = (0..self.entries.len()).rev().filter_map(|at| self.entries.get(at));
        let same = held.skip_while(|entry| entry.time > time).take_while(|entry| entry.time == time);
        self.same_time.has(time, item) || same.take(SameTimeIds::MOST).any(|entry| item.repeats(&entry.item))
    }

    /// The event time of the sample at the place of the search, if it is known.
    #[inline]
    pub(super) fn head(&self) -> Option<i64> {
        self.peek(self.cursor)
    }

    /// The moment of the sample at the place of the search, if it is known.
    pub(super) fn head_moment(&self) -> Option<Moment> {
        if self.cursor < self.known() { self.entries.get(self.cursor).map(SetEntry::moment) } else { None }
    }

    /// The event time of a sample that the search may look at.
    #[inline]
    pub(super) fn peek(&self, at: usize) -> Option<i64> {
        if at < self.known() { self.entries.get(at).map(|entry| entry.time) } else { None }
    }

    /// The earliest event time that the first sample after the known ones can have, if samples are never closer than
    /// `min_period`.
    pub(super) fn coming(&self, min_period: i64) -> i64 {
        let last = self.ready.checked_sub(1).and_then(|last| self.entries.get(last)).map(SetEntry::moment);
        match last.unwrap_or(self.left) {
            Moment::NEVER => self.watermark,
            last => self.watermark.max(last.time.saturating_add(min_period).max(last.next())),
        }
    }

    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    pub(super) fn step(&mut self) {
        self.cursor += 1;
    }

    pub(super) fn rewind(&mut self) {
        (self.cursor, self.kept) = (0, 0);
    }

    /// Takes the sample at the place of the search for the best set: it has passed over those before it.
    ///
    /// If it is after the pivot, the last of them is kept until the set is made. So the latest of the held first samples
    /// stays the pivot, and a process that restarts with only the held samples finds the same pivot.
    pub(super) fn prefer(&mut self, pivot: i64, mut passed: impl FnMut(SetEntry<T>)) {
        self.kept = usize::from(self.cursor > 0 && self.head().is_some_and(|head| head > pivot));
        while self.cursor > self.kept {
            self.pop().into_iter().for_each(&mut passed);
        }
    }

    /// Takes out a sample that the best set has passed over.
    pub(super) fn pop_passed(&mut self) -> Option<SetEntry<T>> {
        self.kept = self.kept.checked_sub(1)?;
        self.pop()
    }

    /// Returns true if the search has to wait for this input, or some of its samples for others before them.
    pub(super) fn is_awaited(&self) -> bool {
        !self.over && self.is_short()
    }

    /// Returns true if the best set has the first sample, and the watermark has reached it.
    pub(super) fn is_settled_first(&self) -> bool {
        self.kept < self.ready
    }

    /// Returns true if the search has seen all samples that the watermark has passed.
    pub(super) fn is_short(&self) -> bool {
        self.cursor >= self.ready
    }

    /// Takes the first sample out.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<SetEntry<T>> {
        let entry = self.entries.pop_front()?;
        self.left = entry.moment();
        if entry.tie_break.is_some() {
            self.same_time.add(entry.time, &entry.item);
        }
        self.ready = self.ready.saturating_sub(1);
        self.cursor = self.cursor.saturating_sub(1);
        Some(entry)
    }
}
