//! The samples of one input of a stream, and what a pivot finds among them.

use smallvec::SmallVec;

use super::bundle::Part;
use super::cover::cover;
use super::event::Event;
use super::queue::Queue;
use super::rules::{Ask, Rule};
use crate::time::Timestamp;

/// One input of one stream. The pivot's own stays empty.
#[derive(Debug)]
pub(super) struct Lane<T> {
    /// Where the sample that reaches furthest ends: below it nothing needs to be added up.
    furthest: i64,
    /// By event time, then in the order of arrival. Where one sample is asked for (nearest, latest) no
    /// two have the same time.
    entries: Queue<Entry<T>, 5>,
}

#[derive(Debug)]
struct Entry<T> {
    time: i64,
    /// The same as `time` for what has no length.
    end: i64,
    arrived: i64,
    used: u32,
    item: T,
}

impl<T> Lane<T> {
    pub(super) fn new() -> Self {
        Self { furthest: i64::MIN, entries: Queue::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// When the first sample was pushed, in wall time.
    pub(super) fn first_arrived(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.arrived)
    }

    /// Puts a sample where it belongs. Gives it back when another of the same time makes it useless.
    #[inline]
    pub(super) fn insert(&mut self, ask: Ask, time: i64, end: i64, now: i64, item: T) -> Result<(), T> {
        self.furthest = self.furthest.max(end);
        let mut at = self.entries.len();
        while let Some(before) = at.checked_sub(1).and_then(|i| self.entries.get(i)) {
            if before.time < time {
                break;
            }
            if before.time == time {
                match ask {
                    Ask::Window { .. } => break,
                    Ask::Nearest { .. } | Ask::Latest { .. } => return Err(item),
                }
            }
            at -= 1;
        }
        let entry = Entry { time, end, arrived: now, used: 0, item };
        self.entries.insert(at, entry);
        Ok(())
    }

    /// Whether what a pivot at `t` finds can no longer change by samples from the watermark on.
    pub(super) fn settled(&self, ask: Ask, watermark: i64, t: i64) -> bool {
        match ask {
            Ask::Window { before, after } => {
                let (from, to) = (t.saturating_sub(before), t.saturating_add(after));
                if watermark >= to || from >= to {
                    return true;
                }
                if self.furthest < to {
                    return false;
                }
                let cover = cover(self.spans(), from, to, |_| {});
                !cover.points && cover.covered == to.saturating_sub(from)
            }
            Ask::Nearest { tolerance } => match self.nearest(t, tolerance) {
                Some((_, 0)) => true,
                Some((_, away)) => watermark >= t.saturating_add(away),
                None => watermark > t.saturating_add(tolerance),
            },
            Ask::Latest { .. } => watermark > t || self.last_at(t).is_some_and(|(_, time)| time == t),
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

    /// The index and the time of the last sample at or before `t`.
    fn last_at(&self, t: i64) -> Option<(usize, i64)> {
        let next = self.entries.partition_point(|entry| entry.time <= t);
        next.checked_sub(1).and_then(|last| self.entries.get(last).map(|entry| (last, entry.time)))
    }

    /// Whether a sample lies wholly before what pivots from `floor` on can ask for, and by how much.
    #[inline]
    pub(super) fn late_by(rule: &Rule, floor: i64, time: i64, end: i64) -> Option<u64> {
        let by = match rule.ask {
            // A sample that lasts must end after the window's beginning, one without length may lie on it.
            Ask::Window { before, .. } if end > time => {
                floor.saturating_sub(before).saturating_sub(end).saturating_add(1)
            }
            Ask::Window { before: reach, .. }
            | Ask::Nearest { tolerance: reach }
            | Ask::Latest { max_age: reach } => floor.saturating_sub(reach).saturating_sub(time),
        };
        u64::try_from(by).ok().filter(|by| *by > 0)
    }

    /// Lets go of the samples that no pivot from `floor` on can use. Returns how many.
    #[inline]
    pub(super) fn release(&mut self, rule: &Rule, floor: i64, out: &mut Vec<Event<T>>) -> usize {
        let mut released = 0;
        while let Some(first) = self.entries.front() {
            // Whether the one after it serves whoever asks from the floor on better.
            let superseded = match (rule.ask, self.entries.get(1)) {
                (Ask::Latest { .. }, Some(second)) => second.time <= floor,
                (Ask::Nearest { .. }, Some(second)) => {
                    second.time.saturating_sub(floor) < floor.saturating_sub(first.time)
                }
                _ => false,
            };
            if !superseded && Self::late_by(rule, floor, first.time, first.end).is_none() {
                break;
            }
            released += self.release_first(out);
        }
        released
    }

    /// Lets go of the samples that arrived not later than `until`, in wall time, in the order of event times.
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

impl<T: Clone> Lane<T> {
    /// What a pivot at `t` finds now.
    pub(super) fn pick(&mut self, ask: Ask, t: i64) -> Part<T> {
        let found = match ask {
            Ask::Window { before, after } => {
                return self.pick_window(t.saturating_sub(before), t.saturating_add(after));
            }
            Ask::Nearest { tolerance } => self.nearest(t, tolerance).map(|(index, _)| index),
            Ask::Latest { max_age } => {
                self.last_at(t).filter(|(_, time)| t.saturating_sub(*time) <= max_age).map(|(index, _)| index)
            }
        };
        let at = Timestamp::from_nanos(t);
        let mut part = Part { samples: SmallVec::new(), from: at, to: at, skew_ns: None, coverage: None };
        if let Some(entry) = found.and_then(|index| self.entries.get_mut(index)) {
            entry.used = entry.used.saturating_add(1);
            part.samples.push(entry.item.clone());
            part.skew_ns = Some(entry.time.saturating_sub(t));
        }
        part
    }

    fn pick_window(&mut self, from: i64, to: i64) -> Part<T> {
        let mut taken = SmallVec::<[usize; 16]>::new();
        let cover = cover(self.spans(), from, to, |index| taken.push(index));
        if cover.points && cover.lasting {
            taken.sort_unstable();
        }
        let mut samples = SmallVec::with_capacity(taken.len());
        for index in taken {
            if let Some(entry) = self.entries.get_mut(index) {
                entry.used = entry.used.saturating_add(1);
                samples.push(entry.item.clone());
            }
        }
        Part {
            skew_ns: (!samples.is_empty()).then_some(0),
            coverage: cover.lasting.then(|| cover.covered as f64 / to.saturating_sub(from) as f64),
            samples,
            from: Timestamp::from_nanos(from),
            to: Timestamp::from_nanos(to),
        }
    }
}
