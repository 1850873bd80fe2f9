//! The samples of one input: put in order, held until no set can take them or be told by them.

use super::super::held::Held;
use super::super::moment::Moment;
use super::super::queue::Queue;
use super::super::same_time::SameTimeIds;
use crate::sample::TieBreak;

/// One input of one stream.
#[derive(Debug)]
pub(super) struct Line<T> {
    /// By moment; no two have the same. With inputs that are out of order by less than a period, three are held: one
    /// of the set under way, the one that may be a better partner, and the one that proves it to be in order.
    entries: Queue<Entry<T>, 3>,
    /// How many of the first have the watermark behind them: what comes in order comes after these.
    ready: usize,
    /// Where the search stands.
    cursor: usize,
    /// How many of the first the best set so far has passed over, and are still held: one at most.
    kept: usize,
    /// Nothing earlier is expected.
    watermark: i64,
    /// The last that left.
    left: Moment,
    /// The ids of those that left at the event time of the last one.
    same_time: SameTimeIds,
    /// Nothing more is expected at all, until it is heard again: all that is held counts as in order.
    over: bool,
    /// What had to make room might have made a better set than the samples that are left.
    lossy: bool,
}

/// A sample and when it came.
#[derive(Debug)]
pub(super) struct Entry<T> {
    /// Its event time.
    pub(super) time: i64,
    /// What tells it from others of its event time.
    pub(super) tie_break: TieBreak,
    /// In wall time.
    pub(super) arrived: i64,
    /// The earliest arrival of it and all after it in event time: they leave in this order, so when one has waited long
    /// enough, those before it have to go too.
    waits_since: i64,
    pub(super) item: T,
}

/// Why a sample is not taken.
#[derive(Debug)]
pub(super) enum Refused<T> {
    /// It repeats another, or one of the same moment is held or was the last to leave.
    Duplicate(T),
    /// One at or after this event time has left: so much later it would have to be.
    Late(T, u64),
}

impl<T> Entry<T> {
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

    /// Since when the first sample waits, or one after it if that came before, in wall time.
    pub(super) fn waits_since(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.waits_since)
    }

    /// How many samples the search may look at.
    fn known(&self) -> usize {
        if self.over { self.entries.len() } else { self.ready }
    }

    /// Puts a sample where it belongs. Returns whether it comes before or in place of what the search has seen: with
    /// samples out of order by no more than allowed it never does.
    #[inline]
    pub(super) fn insert(
        &mut self,
        moment: Moment,
        watermark: i64,
        now: i64,
        item: T,
    ) -> Result<bool, Refused<T>> {
        self.watermark = watermark;
        let known = self.known();
        if moment == self.left || (moment.tie_break.is_some() && self.repeats(moment.time, &item)) {
            return Err(Refused::Duplicate(item));
        }
        if let Some(by_ns) = moment.late_after(self.left) {
            return Err(Refused::Late(item, by_ns));
        }
        let mut at = self.entries.len();
        while let Some(before) = at.checked_sub(1).and_then(|i| self.entries.get(i)) {
            if before.moment() < moment {
                break;
            }
            if before.moment() == moment {
                return Err(Refused::Duplicate(item));
            }
            at -= 1;
        }
        let waits_since = self.entries.get(at).map_or(now, |next| next.waits_since);
        let Moment { time, tie_break } = moment;
        let entry = Entry { time, tie_break, arrived: now, waits_since, item };
        self.entries.insert(at, entry);
        self.ready += usize::from(at < self.ready);
        while self.entries.get(self.ready).is_some_and(|next| next.time <= watermark) {
            self.ready += 1;
        }
        Ok(at < known && at <= self.cursor)
    }

    /// Whether a sample repeats another of its event time that is held, or has just left.
    fn repeats(&self, time: i64, item: &T) -> bool {
        let is_last = self.entries.back().is_none_or(|entry| entry.time < time) && self.left.time < time;
        if is_last || item.fingerprint().is_none() {
            return false;
        }
        let held = (0..self.entries.len()).rev().filter_map(|at| self.entries.get(at));
        let same = held.skip_while(|entry| entry.time > time).take_while(|entry| entry.time == time);
        self.same_time.has(time, item) || same.take(SameTimeIds::MOST).any(|entry| item.repeats(&entry.item))
    }

    /// The event time of the sample where the search stands, if it is known.
    #[inline]
    pub(super) fn head(&self) -> Option<i64> {
        self.peek(self.cursor)
    }

    /// The moment of the sample where the search stands, if it is known.
    pub(super) fn head_moment(&self) -> Option<Moment> {
        if self.cursor < self.known() { self.entries.get(self.cursor).map(Entry::moment) } else { None }
    }

    /// The event time of a sample that the search may look at.
    #[inline]
    pub(super) fn peek(&self, at: usize) -> Option<i64> {
        if at < self.known() { self.entries.get(at).map(|entry| entry.time) } else { None }
    }

    /// The earliest event time that the first sample after the known ones can have, if samples are never closer than
    /// `min_period`.
    pub(super) fn coming(&self, min_period: i64) -> i64 {
        let last = self.ready.checked_sub(1).and_then(|last| self.entries.get(last)).map(Entry::moment);
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

    /// Takes the sample where the search stands for the one of the best set: those before it have been passed over.
    ///
    /// If it is after the pivot, the last of them is kept until the set is made. So the latest of the first samples that
    /// are held stays the pivot, and a process that has only what is held goes by the same one.
    pub(super) fn prefer(&mut self, pivot: i64, mut passed: impl FnMut(Entry<T>)) {
        self.kept = usize::from(self.cursor > 0 && self.head().is_some_and(|head| head > pivot));
        while self.cursor > self.kept {
            self.pop().into_iter().for_each(&mut passed);
        }
    }

    /// Takes out what the best set has passed over.
    pub(super) fn pop_passed(&mut self) -> Option<Entry<T>> {
        self.kept = self.kept.checked_sub(1)?;
        self.pop()
    }

    /// Whether the search has to wait for this input, or some of its samples for others before them.
    pub(super) fn is_awaited(&self) -> bool {
        !self.over && self.is_short()
    }

    /// Whether there is a sample that the best set has, and the watermark is not before it.
    pub(super) fn is_settled_first(&self) -> bool {
        self.kept < self.ready
    }

    /// Whether the search has seen all samples that the watermark has behind it.
    pub(super) fn is_short(&self) -> bool {
        self.cursor >= self.ready
    }

    /// Takes the first sample out.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Entry<T>> {
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
