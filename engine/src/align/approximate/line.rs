//! The samples of one input: put in order, held until no set can take them or be told by them.

use super::super::queue::Queue;

/// One input of one stream.
#[derive(Debug)]
pub(super) struct Line<T> {
    /// By event time; no two have the same. With inputs that are out of order by less than a period, three are held: one
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
    /// The event time of the last that left; `i64::MIN` before the first.
    left: i64,
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
    /// One with the same event time is held or was the last to leave.
    Duplicate(T),
    /// One at or after this event time has left: so much later it would have to be.
    Late(T, u64),
}

impl<T> Line<T> {
    pub(super) fn new() -> Self {
        Self {
            entries: Queue::new(),
            ready: 0,
            cursor: 0,
            kept: 0,
            watermark: i64::MIN,
            left: i64::MIN,
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
        time: i64,
        watermark: i64,
        now: i64,
        item: T,
    ) -> Result<bool, Refused<T>> {
        self.watermark = watermark;
        let known = self.known();
        if time <= self.left && self.left > i64::MIN {
            return Err(match u64::try_from(self.left.saturating_sub(time)).unwrap_or(0) {
                0 => Refused::Duplicate(item),
                behind => Refused::Late(item, behind.saturating_add(1)),
            });
        }
        let mut at = self.entries.len();
        while let Some(before) = at.checked_sub(1).and_then(|i| self.entries.get(i)) {
            if before.time < time {
                break;
            }
            if before.time == time {
                return Err(Refused::Duplicate(item));
            }
            at -= 1;
        }
        let waits_since = self.entries.get(at).map_or(now, |next| next.waits_since);
        let entry = Entry { time, arrived: now, waits_since, item };
        self.entries.insert(at, entry);
        self.ready += usize::from(at < self.ready);
        while self.entries.get(self.ready).is_some_and(|next| next.time <= watermark) {
            self.ready += 1;
        }
        Ok(at < known && at <= self.cursor)
    }

    /// The event time of the sample where the search stands, if it is known.
    #[inline]
    pub(super) fn head(&self) -> Option<i64> {
        self.peek(self.cursor)
    }

    /// The event time of a sample that the search may look at.
    #[inline]
    pub(super) fn peek(&self, at: usize) -> Option<i64> {
        if at < self.known() { self.entries.get(at).map(|entry| entry.time) } else { None }
    }

    /// The earliest event time that the first sample after the known ones can have, if samples are never closer than
    /// `min_period`.
    pub(super) fn coming(&self, min_period: i64) -> i64 {
        let last = self.ready.checked_sub(1).and_then(|last| self.entries.get(last)).map(|entry| entry.time);
        match last.unwrap_or(self.left) {
            i64::MIN => self.watermark,
            last => self.watermark.max(last.saturating_add(min_period.max(1))),
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
        self.left = entry.time;
        self.ready = self.ready.saturating_sub(1);
        self.cursor = self.cursor.saturating_sub(1);
        Some(entry)
    }
}
