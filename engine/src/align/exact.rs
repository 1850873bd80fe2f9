//! Sets of samples with exactly the same event time: from sensors that one clock triggers, and results computed from one
//! frame.

use std::ops::Range;

use smallvec::{SmallVec, smallvec};

use super::arrival::Arrival;
use super::bounds::Bound;
use super::bundle::{Lack, Part};
use super::event::Event;
use super::held::Held;
use super::moment::Moment;
use super::queue::Queue;
use super::same_time::{InputItem, SameTimeIds};
use super::verdict::{Closing, Emission, begin, cut_short};
use super::view::{NEVER, StreamView};
use crate::position::InputId;
use crate::sample::TieBreak;
use crate::time::Timestamp;

/// The samples of one stream, in sets of one event time each.
///
/// Every time that any input brings makes one set and so one bundle. The set at `t` closes when no earlier set can form and
/// this one can no longer grow. That holds if each input is idle, or has a watermark past `t`, or has a watermark at `t`
/// and has brought its sample. So with inputs in order a set closes with its last sample.
///
/// `max_wait` after its first sample arrived the set closes, whatever is missing, and all earlier ones close with it.
/// Sets close in the order of event times: a complete one waits for an earlier one that is open or may still form.
/// Otherwise the bundles would depend on the order of arrival.
#[derive(Debug)]
pub(super) struct Exact<T> {
    /// The open sets by event time; sets of one time by the tie-breaks of their samples.
    open: Queue<Set<T>, 2>,
    held: usize,
    /// The event time of the last set that closed; `i64::MIN` before the first.
    closed: i64,
    /// The number of sets of that time that have closed.
    closed_sets: u32,
    /// The samples of that time that each input has brought.
    closed_with: SmallVec<[Brought; 4]>,
    /// The ids of the samples of that time that have left.
    same_time: SameTimeIds,
    /// The input that the first open set waits for: while that input brings nothing, no set can close.
    blocker: usize,
}

/// The samples of an input that belonged to closed sets of one event time, or came too late for them.
#[derive(Clone, Copy, Debug)]
struct Brought {
    samples: u32,
    last: TieBreak,
}

impl Brought {
    const NOTHING: Self = Self { samples: 0, last: TieBreak::NONE };

    fn add(&mut self, tie_break: TieBreak) {
        self.samples = self.samples.saturating_add(1);
        self.last = self.last.max(tie_break);
    }
}

#[derive(Debug)]
struct Set<T> {
    time: i64,
    arrived: i64,
    /// The earliest arrival in it and in all open sets after it in event time. They close in that order, so when
    /// one has waited long enough, those before it have to close too.
    waits_since: i64,
    samples: SmallVec<[SetPlace<T>; 3]>,
}

/// The place of one input in a set.
#[derive(Debug)]
enum SetPlace<T> {
    Nothing,
    /// A sample that ended before a restart, and its bundle with it.
    Ended(TieBreak),
    Sample(TieBreak, T),
}

impl<T> SetPlace<T> {
    fn is_free(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    fn sample(&self) -> Option<&T> {
        match self {
            Self::Sample(_, item) => Some(item),
            Self::Nothing | Self::Ended(_) => None,
        }
    }

    fn into_sample(self) -> Option<T> {
        match self {
            Self::Sample(_, item) => Some(item),
            Self::Nothing | Self::Ended(_) => None,
        }
    }

    /// The tie-break of its sample, if there is one.
    fn tie_break(&self) -> Option<TieBreak> {
        match self {
            Self::Nothing => None,
            Self::Ended(tie_break) | Self::Sample(tie_break, _) => Some(*tie_break),
        }
    }
}

impl<T> Exact<T> {
    pub(super) fn new(inputs: usize) -> Self {
        Self {
            open: Queue::new(),
            held: 0,
            closed: i64::MIN,
            closed_sets: 0,
            closed_with: smallvec![Brought::NOTHING; inputs],
            same_time: SameTimeIds::default(),
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

    /// The next deadline. It may be early, since the first set may have to wait for another input then.
    pub(super) fn deadline(&self, view: &StreamView<'_>) -> i64 {
        self.open.front().map_or(NEVER, |first| {
            first.waits_since.saturating_add(view.rules.max_wait).min(view.idle_at(self.blocker))
        })
    }

    /// The first input that the set has to wait for.
    fn blocker_of(set: &Set<T>, view: &StreamView<'_>) -> Option<usize> {
        set.samples.iter().enumerate().find_map(|(input, sample)| {
            let watermark = view.watermark(input);
            let settled = watermark > set.time || (watermark == set.time && !sample.is_free());
            (!settled && view.idle_at(input) > view.now).then_some(input)
        })
    }

    /// The places of the open sets of an event time.
    fn of_time(&self, time: i64) -> Range<usize> {
        let later = |at: usize| self.open.get(at).is_some_and(|set| set.time > time);
        let same = |at: usize| self.open.get(at).is_some_and(|set| set.time == time);
        let mut end = self.open.len();
        while end.checked_sub(1).is_some_and(later) {
            end -= 1;
        }
        let mut start = end;
        while start.checked_sub(1).is_some_and(same) {
            start -= 1;
        }
        start..end
    }

    /// Puts a sample into its set. Returns true if the first set may now close, or the sample as the error if its place is
    /// taken.
    ///
    /// Of an input's samples with one event time, the first is in the first set of that time, the second in the second, and
    /// so on. They are in the order of their tie-breaks: a sample that comes before others moves those on.
    fn insert(
        &mut self,
        view: &StreamView<'_>,
        input: usize,
        time: i64,
        mut item: SetPlace<T>,
    ) -> Result<bool, SetPlace<T>> {
        let of_time = self.of_time(time);
        let at = of_time.end;
        for place in of_time {
            let Some(place) = self.open.get_mut(place).and_then(|set| set.samples.get_mut(input)) else {
                return Err(item);
            };
            match place.tie_break() {
                None => {
                    *place = item;
                    return Ok(self.blocker == input);
                }
                there if there == item.tie_break() => return Err(item),
                there if there > item.tie_break() => std::mem::swap(place, &mut item),
                Some(_) => {}
            }
        }
        let waits_since = self.open.get(at).map_or(view.now, |next| next.waits_since);
        let samples = (0..self.closed_with.len()).map(|_| SetPlace::Nothing).collect();
        let mut set = Set { time, arrived: view.now, waits_since, samples };
        match set.samples.get_mut(input) {
            Some(place) => *place = item,
            None => return Err(item),
        }
        self.open.insert(at, set);
        Ok(at == 0 || self.blocker == input)
    }
}

impl<T: Held + Clone> Exact<T> {
    pub(super) fn push(
        &mut self,
        view: &StreamView<'_>,
        arrival: Arrival<T>,
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        let Arrival { input, time, tie_break, item, .. } = arrival;
        if let Some(by_ns) = self.late_by(input, time, tie_break) {
            out.push(match by_ns {
                0 => Event::Duplicate(item),
                by_ns => Event::Late { item, by_ns },
            });
            return NEVER;
        }
        if tie_break.is_some() && self.repeats(input, time, &item) {
            out.push(Event::Duplicate(item));
            return NEVER;
        }
        match self.insert(view, input, time, SetPlace::Sample(tie_break, item)) {
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

    /// The time by which a sample is late for its set, none if it is not; 0 if it is there already.
    fn late_by(&mut self, input: usize, time: i64, tie_break: TieBreak) -> Option<u64> {
        if time > self.closed {
            return None;
        }
        let by = self.closed.saturating_add(1).saturating_sub(time);
        let late = u64::try_from(by).ok().filter(|by| *by > 0);
        let Some(brought) = self.closed_with.get_mut(input).filter(|_| time == self.closed) else {
            return late;
        };
        if brought.samples > 0 && tie_break <= brought.last {
            return if tie_break == brought.last { Some(0) } else { late };
        }
        if !tie_break.is_some() {
            return late;
        }
        if brought.samples < self.closed_sets {
            brought.add(tie_break);
            return late;
        }
        None
    }

    /// Returns true if a sample repeats another of its input and event time that is in an open set, or has just left.
    fn repeats(&self, input: usize, time: i64, item: &T) -> bool {
        let is_last = self.open.back().is_none_or(|set| set.time < time) && self.closed < time;
        if is_last || item.fingerprint().is_none() {
            return false;
        }
        let places = self.of_time(time).rev().take(SameTimeIds::MOST);
        let mut there = places.filter_map(|at| self.open.get(at)?.samples.get(input)?.sample());
        self.same_time.has(time, &InputItem { input, item }) || there.any(|there| item.repeats(there))
    }

    /// Takes the moment of a sample that ended before a restart. Its place is taken until its set would have closed.
    pub(super) fn observe(
        &mut self,
        view: &StreamView<'_>,
        (input, moment): (usize, Moment),
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        if self.late_by(input, moment.time, moment.tie_break).is_none() {
            let _known = self.insert(view, input, moment.time, SetPlace::Ended(moment.tie_break));
        }
        self.close_settled(view, out);
        self.deadline(view)
    }

    pub(super) fn tick(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        self.close_settled(view, out);
    }

    pub(super) fn close_now(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) -> bool {
        let closed = self.close_first(view, Some(Lack::Overflow), out);
        self.close_settled(view, out);
        closed
    }

    /// Evicts the sample of the first input in the first set.
    pub(super) fn evict(&mut self, view: &StreamView<'_>, bound: Bound, out: &mut Vec<Event<T>>) -> bool {
        let Some(first) = self.open.get_mut(0) else { return false };
        let Some(place) = first.samples.iter_mut().find(|place| place.sample().is_some()) else {
            // All samples of the set ended before a restart.
            return self.close_now(view, out);
        };
        let Some(item) = std::mem::replace(place, SetPlace::Nothing).into_sample() else { return false };
        if first.samples.iter().all(SetPlace::is_free) {
            self.open.pop_front();
        }
        self.held -= 1;
        out.push(Event::Evicted { item, bound, used: 0 });
        self.close_settled(view, out);
        true
    }

    pub(super) fn finish(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        while self.close_first(view, Some(Lack::Idle), out) {}
    }

    /// Closes every set that may close, in the order of event times.
    fn close_settled(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
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

    fn close_first(&mut self, view: &StreamView<'_>, cut: Option<Lack>, out: &mut Vec<Event<T>>) -> bool {
        let Some(set) = self.open.pop_front() else { return false };
        let first = self.closed == i64::MIN;
        if self.closed != set.time {
            (self.closed, self.closed_sets) = (set.time, 0);
            self.closed_with.fill(Brought::NOTHING);
        }
        self.closed_sets = self.closed_sets.saturating_add(1);
        let mut record = None;
        for (input, (brought, place)) in self.closed_with.iter_mut().zip(&set.samples).enumerate() {
            let Some(tie_break) = place.tie_break() else { continue };
            brought.add(tie_break);
            record = record.or(tie_break.record(InputId(u16::try_from(input).unwrap_or(u16::MAX))));
            if let Some(item) = place.sample().filter(|_| tie_break.is_some()) {
                self.same_time.add(set.time, &InputItem { input, item });
            }
        }
        if set.samples.iter().any(|place| matches!(place, SetPlace::Ended(_))) {
            for item in set.samples.into_iter().filter_map(SetPlace::into_sample) {
                self.held -= 1;
                out.push(Event::Late { item, by_ns: 1 });
            }
            return true;
        }
        let event_time = Timestamp::from_nanos(set.time);
        let mut bundle = begin(view, set.time, record, set.samples.len());
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
            emission: Emission::ONLY,
        };
        out.push(closing.into_event(view, |input| {
            let is_there = set.samples.get(input).is_some_and(|place| !place.is_free());
            is_there || view.watermark(input) > set.time
        }));
        for item in set.samples.into_iter().filter_map(SetPlace::into_sample) {
            self.held -= 1;
            out.push(Event::Released { item, used: 1 });
        }
        true
    }
}
