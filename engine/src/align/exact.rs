//! Samples with the very same event time belong together: sensors that one clock triggers, and what was made of
//! one frame.

use smallvec::{SmallVec, smallvec};

use super::bounds::Bound;
use super::bundle::{Lack, Part};
use super::event::Event;
use super::matching::Arrival;
use super::queue::Queue;
use super::stream::{NEVER, View};
use super::verdict::{Closing, Telling, begin, cut_short};
use crate::time::Timestamp;

/// The samples of one stream, in sets of one event time each.
///
/// Every time that any input brings makes one set and so one bundle. The set at `t` closes when no earlier set can come
/// to be and this one can no longer grow: for each input the watermark is past `t`, or has reached it and
/// the input has brought its sample, or the input is idle. So with inputs in order a set closes with its last sample.
/// `max_wait` after its first sample arrived it closes whatever is missing, and with it all earlier ones.
/// Sets close in the order of event times: a complete one waits for an earlier one that is open, and for those
/// that may still come, or the bundles would depend on who came first.
#[derive(Debug)]
pub(super) struct Exact<T> {
    /// By event time; no two have the same.
    open: Queue<Set<T>, 2>,
    held: usize,
    /// The event time of the last set that closed; `i64::MIN` before the first.
    closed: i64,
    /// Which inputs it had a sample of.
    closed_with: SmallVec<[bool; 8]>,
    /// The input that the first open set waits for: as long as nothing happens there, nothing can close.
    blocker: usize,
}

#[derive(Debug)]
struct Set<T> {
    time: i64,
    arrived: i64,
    /// The earliest arrival in it and in all open sets after it in event time. They close in that order, so when
    /// one has waited long enough, those before it have to go too.
    waits_since: i64,
    samples: SmallVec<[Place<T>; 3]>,
}

/// What one input has brought to a set.
#[derive(Debug)]
enum Place<T> {
    Nothing,
    /// A sample that had ended before a restart, and so had the bundle.
    Ended,
    Sample(T),
}

impl<T> Place<T> {
    fn is_free(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    fn sample(&self) -> Option<&T> {
        match self {
            Self::Sample(item) => Some(item),
            Self::Nothing | Self::Ended => None,
        }
    }

    fn into_sample(self) -> Option<T> {
        match self {
            Self::Sample(item) => Some(item),
            Self::Nothing | Self::Ended => None,
        }
    }
}

impl<T> Exact<T> {
    pub(super) fn new(inputs: usize) -> Self {
        Self {
            open: Queue::new(),
            held: 0,
            closed: i64::MIN,
            closed_with: smallvec![false; inputs],
            blocker: 0,
        }
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn reach(&self) -> Option<(i64, i64)> {
        self.open.front().zip(self.open.back()).map(|(first, last)| (first.time, last.time))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// It may be early, since the first set may have to wait for another input then.
    pub(super) fn deadline(&self, view: &View<'_>) -> i64 {
        self.open.front().map_or(NEVER, |first| {
            first.waits_since.saturating_add(view.rules.max_wait).min(view.idle_at(self.blocker))
        })
    }

    /// The first input that the set has to wait for.
    fn blocker_of(set: &Set<T>, view: &View<'_>) -> Option<usize> {
        set.samples.iter().enumerate().find_map(|(input, sample)| {
            let watermark = view.watermark(input);
            let settled = watermark > set.time || (watermark == set.time && !sample.is_free());
            (!settled && view.idle_at(input) > view.now).then_some(input)
        })
    }

    /// Puts a sample into its set and says whether the first set may now close. Gives it back when its place is taken.
    fn insert(&mut self, view: &View<'_>, input: usize, time: i64, item: Place<T>) -> Result<bool, Place<T>> {
        let mut at = self.open.len();
        while let Some(before) = at.checked_sub(1).and_then(|i| self.open.get_mut(i)) {
            if before.time < time {
                break;
            }
            if before.time == time {
                return match before.samples.get_mut(input) {
                    Some(place) if place.is_free() => {
                        *place = item;
                        Ok(self.blocker == input)
                    }
                    _ => Err(item),
                };
            }
            at -= 1;
        }
        let waits_since = self.open.get(at).map_or(view.now, |next| next.waits_since);
        let samples = (0..self.closed_with.len()).map(|_| Place::Nothing).collect();
        let mut set = Set { time, arrived: view.now, waits_since, samples };
        match set.samples.get_mut(input) {
            Some(place) => *place = item,
            None => return Err(item),
        }
        self.open.insert(at, set);
        Ok(at == 0 || self.blocker == input)
    }
}

impl<T: Clone> Exact<T> {
    pub(super) fn push(&mut self, view: &View<'_>, arrival: Arrival<T>, out: &mut Vec<Event<T>>) -> i64 {
        let Arrival { input, time, item, .. } = arrival;
        let late_by = self.closed.saturating_add(1).saturating_sub(time);
        if let Some(by_ns) = u64::try_from(late_by).ok().filter(|by| *by > 0) {
            let again = time == self.closed && self.closed_with.get(input).is_some_and(|there| *there);
            out.push(if again { Event::Duplicate(item) } else { Event::Late { item, by_ns } });
            return NEVER;
        }
        match self.insert(view, input, time, Place::Sample(item)) {
            Ok(may_close) => {
                self.held += 1;
                if !may_close {
                    return NEVER;
                }
                self.close_settled(view, out);
                self.deadline(view)
            }
            Err(item) => {
                out.extend(item.into_sample().map(Event::Duplicate));
                NEVER
            }
        }
    }

    /// Hears of a sample that had ended before a restart. Its place is taken until its set would have closed.
    pub(super) fn observe(
        &mut self,
        view: &View<'_>,
        (input, time): (usize, i64),
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        if time > self.closed {
            let _known = self.insert(view, input, time, Place::Ended);
        }
        self.close_settled(view, out);
        self.deadline(view)
    }

    pub(super) fn tick(&mut self, view: &View<'_>, out: &mut Vec<Event<T>>) {
        self.close_settled(view, out);
    }

    pub(super) fn close_now(&mut self, view: &View<'_>, out: &mut Vec<Event<T>>) -> bool {
        let closed = self.close_first(view, Some(Lack::Overflow), out);
        self.close_settled(view, out);
        closed
    }

    /// Of the first set, the sample of the first input that it has.
    pub(super) fn evict(&mut self, view: &View<'_>, bound: Bound, out: &mut Vec<Event<T>>) -> bool {
        let Some(first) = self.open.get_mut(0) else { return false };
        let Some(place) = first.samples.iter_mut().find(|place| place.sample().is_some()) else {
            // All of it had ended.
            return self.close_now(view, out);
        };
        let Some(item) = std::mem::replace(place, Place::Nothing).into_sample() else { return false };
        if first.samples.iter().all(Place::is_free) {
            self.open.pop_front();
        }
        self.held -= 1;
        out.push(Event::Evicted { item, bound, used: 0 });
        self.close_settled(view, out);
        true
    }

    pub(super) fn finish(&mut self, view: &View<'_>, out: &mut Vec<Event<T>>) {
        while self.close_first(view, Some(Lack::Idle), out) {}
    }

    /// Closes every set that may close, in the order of event times.
    fn close_settled(&mut self, view: &View<'_>, out: &mut Vec<Event<T>>) {
        while let Some(first) = self.open.front() {
            if first.waits_since.saturating_add(view.rules.max_wait) > view.now
                && let Some(blocker) = Self::blocker_of(first, view)
            {
                self.blocker = blocker;
                break;
            }
            self.close_first(view, None, out);
        }
    }

    fn close_first(&mut self, view: &View<'_>, cut: Option<Lack>, out: &mut Vec<Event<T>>) -> bool {
        let Some(set) = self.open.pop_front() else { return false };
        let first = self.closed == i64::MIN;
        self.closed = set.time;
        for (there, sample) in self.closed_with.iter_mut().zip(&set.samples) {
            *there = !sample.is_free();
        }
        if set.samples.iter().any(|place| matches!(place, Place::Ended)) {
            for item in set.samples.into_iter().filter_map(Place::into_sample) {
                self.held -= 1;
                out.push(Event::Late { item, by_ns: 1 });
            }
            return true;
        }
        let event_time = Timestamp::from_nanos(set.time);
        let mut bundle = begin(view, set.time, set.samples.len());
        bundle.parts.extend(set.samples.iter().map(|sample| Part {
            samples: sample.sample().cloned().into_iter().collect(),
            skew_ns: sample.sample().is_some().then_some(0),
            ..Part::empty(event_time, event_time)
        }));
        let waited = set.waits_since.saturating_add(view.rules.max_wait) <= view.now;
        let closing = Closing {
            bundle,
            first,
            opened_at: set.arrived,
            cut_short: cut_short(waited, cut),
            telling: Telling::ONLY,
        };
        out.push(closing.tell(view, |input| {
            let is_there = set.samples.get(input).is_some_and(|place| !place.is_free());
            is_there || view.watermark(input) > set.time
        }));
        for item in set.samples.into_iter().filter_map(Place::into_sample) {
            self.held -= 1;
            out.push(Event::Released { item, used: 1 });
        }
        true
    }
}
