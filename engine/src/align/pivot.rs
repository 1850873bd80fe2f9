//! The pivot method: one input sets the bundles' times. The module has its open samples and closes their bundles.

use smallvec::SmallVec;

use super::arrival::Arrival;
use super::bounds::Bound;
use super::bundle::{Lack, Part};
use super::event::Event;
use super::held::Held;
use super::input_buffer::{Ahead, InputBuffer, NotInserted};
use super::moment::Moment;
use super::moment::reach;
use super::queue::Queue;
use super::revise::Provisional;
use super::rules::Rule;
use super::same_time::SameTimeIds;
use super::verdict::{Closing, begin, cut_short, is_silent, may_be_cut};
use super::view::{NEVER, StreamView};
use crate::position::{InputId, Position};
use crate::sample::TieBreak;
use crate::time::Timestamp;

/// The samples of one stream, joined by a pivot.
#[derive(Debug)]
pub(super) struct Pivot<T> {
    /// The buffers of the inputs that the pivot asks, in their order.
    pub(super) buffers: SmallVec<[InputBuffer<T>; 2]>,
    /// Pivots whose bundles are open, by moment; no two have the same.
    pub(super) open: Queue<OpenPivot<T>, 2>,
    /// The last pivot that closed.
    pub(super) closed: Moment,
    /// The ids of the pivots that closed at the event time of the last one.
    same_time: SameTimeIds,
    /// The earliest event time that an open or future pivot can have.
    floor: i64,
    /// The input that the first open pivot waits for: while that input brings nothing, no bundle can close.
    blocker: usize,
}

/// A pivot that waits for the other inputs.
#[derive(Debug)]
pub(super) struct OpenPivot<T> {
    pub(super) time: i64,
    tie_break: TieBreak,
    pub(super) arrived: i64,
    /// The earliest arrival of it and all open pivots after it in event time. They close in that order, so when
    /// one has waited long enough, those before it have to close too.
    pub(super) waits_since: i64,
    /// The results of its bundle that were emitted before it is final.
    pub(super) emitted: Option<Box<Provisional>>,
    /// None if it ended before a restart: then its bundle is over, and only its time is used.
    pub(super) item: Option<T>,
}

impl<T> OpenPivot<T> {
    fn moment(&self) -> Moment {
        Moment { time: self.time, tie_break: self.tie_break }
    }

    /// The record that distinguishes its bundle from others of its event time.
    pub(super) fn record(&self, view: &StreamView<'_>) -> Option<Position> {
        self.tie_break.record(InputId(u16::try_from(view.rules.pivot).unwrap_or(u16::MAX)))
    }
}

impl<T> Pivot<T> {
    pub(super) fn new(inputs: usize) -> Self {
        Self {
            buffers: (1..inputs).map(|_| InputBuffer::new()).collect(),
            open: Queue::new(),
            closed: Moment::NEVER,
            same_time: SameTimeIds::default(),
            floor: i64::MIN,
            blocker: 0,
        }
    }

    pub(super) fn held(&self) -> usize {
        let open = self.open.iter().filter(|pivot| pivot.item.is_some()).count();
        open + self.buffers.iter().map(InputBuffer::len).sum::<usize>()
    }

    pub(super) fn reach(&self) -> Option<(i64, i64)> {
        let pivots = self.open.front().zip(self.open.back()).map(|(first, last)| (first.time, last.time));
        reach(self.buffers.iter().map(InputBuffer::reach).chain([pivots]))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.buffers.iter().all(InputBuffer::is_empty)
    }

    /// Puts a pivot among the open ones. Returns true if the first pivot may now close, or the item as the error if there
    /// is a pivot of the same moment.
    fn open_pivot(
        &mut self,
        view: &StreamView<'_>,
        moment: Moment,
        item: Option<T>,
    ) -> Result<bool, Option<T>> {
        let mut at = self.open.len();
        while let Some(before) = at.checked_sub(1).and_then(|i| self.open.get(i)) {
            if before.moment() < moment {
                break;
            }
            if before.moment() == moment {
                return Err(item);
            }
            at -= 1;
        }
        let waits_since = self.open.get(at).map_or(view.now, |next| next.waits_since);
        let Moment { time, tie_break } = moment;
        let pivot = OpenPivot { time, tie_break, arrived: view.now, waits_since, emitted: None, item };
        self.open.insert(at, pivot);
        Ok(at == 0 || self.blocker == view.rules.pivot)
    }

    /// The first input that a pivot has to wait for.
    fn blocker_of(&self, view: &StreamView<'_>, pivot: &OpenPivot<T>) -> Option<usize> {
        let t = pivot.time;
        let waits = |input: usize, settled: bool| !settled && view.idle_at(input) > view.now;
        let own = view.rules.pivot;
        if waits(own, view.watermark(own) >= t) {
            return Some(own);
        }
        let blocks = |(buffer, (input, rule)): (&InputBuffer<T>, &(usize, Rule))| {
            // A pivot that ended before a restart asks for nothing.
            let settled = pivot.item.is_none() || buffer.settled(rule, view.watermark(*input), t, &[]);
            waits(*input, settled).then_some(*input)
        };
        self.buffers.iter().zip(&view.rules.asked).find_map(blocks)
    }

    /// Releases the samples that no open or future pivot can use.
    fn sweep(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>)
    where
        T: Held,
    {
        let coming = view.watermark(view.rules.pivot).max(self.closed.next());
        let floor = self.open.front().map_or(coming, |first| first.time.min(coming));
        // A pivot behind the watermark moves the floor back: samples that come for it now are not late.
        let risen = floor > self.floor;
        self.floor = floor;
        if risen {
            for (buffer, (_, rule)) in self.buffers.iter_mut().zip(&view.rules.asked) {
                buffer.release(rule, Ahead { closed: self.closed.time, floor }, out);
            }
        }
    }

    /// Releases samples while the pivot is silent, when its event time is taken to advance with the wall clock. A sample is
    /// released after the longest wait of a bundle and the longest reach back of a pivot.
    fn release_unasked(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        if !self.open.is_empty() || view.idle_at(view.rules.pivot) > view.now {
            return;
        }
        for (buffer, (_, rule)) in self.buffers.iter_mut().zip(&view.rules.asked) {
            buffer.release_arrived_until(view.now.saturating_sub(rule.retention), out);
        }
    }

    /// The next deadline. With an open pivot it may be early, since the pivot may have to wait for another input then.
    pub(super) fn deadline(&self, view: &StreamView<'_>) -> i64 {
        if let Some(first) = self.open.front() {
            let waited = first.waits_since.saturating_add(view.rules.max_wait);
            let closes = waited.min(view.idle_at(self.blocker));
            return if view.rules.revises() { closes.min(self.ahead_deadline(view)) } else { closes };
        }
        let buffers = self.buffers.iter().zip(&view.rules.asked);
        let unasked = buffers
            .filter_map(|(buffer, (_, rule))| Some(buffer.first_arrived()?.saturating_add(rule.retention)))
            .min();
        unasked.map_or(NEVER, |release| release.max(view.idle_at(view.rules.pivot)))
    }

    /// The release time of the sample that `input` just brought, if no pivot comes.
    #[inline]
    fn unasked_deadline(&self, view: &StreamView<'_>, input: usize) -> i64 {
        let retention = view.rules.inputs.get(input).map_or(0, |rule| rule.retention);
        view.now.saturating_add(retention).max(view.idle_at(view.rules.pivot))
    }
}

impl<T: Held + Clone> Pivot<T> {
    #[inline]
    pub(super) fn push(
        &mut self,
        view: &StreamView<'_>,
        arrival: Arrival<T>,
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        let moment = arrival.moment();
        let Arrival { input, time, end, item, .. } = arrival;
        let is_pivot = input == view.rules.pivot;
        let may_close;
        if is_pivot {
            if moment == self.closed || (moment.tie_break.is_some() && self.repeats(time, &item)) {
                out.push(Event::Duplicate(item));
                return NEVER;
            }
            if let Some(by_ns) = moment.late_after(self.closed) {
                out.push(Event::Late { item, by_ns });
                return NEVER;
            }
            match self.open_pivot(view, moment, Some(item)) {
                Ok(first) => may_close = first,
                Err(item) => {
                    out.extend(item.map(Event::Duplicate));
                    return NEVER;
                }
            }
        } else {
            let ahead = Ahead { closed: self.closed.time, floor: self.floor };
            let buffer = self.buffers.get_mut(view.rules.place_among_asked(input));
            let (Some(buffer), Some(rule)) = (buffer, view.rules.inputs.get(input)) else {
                out.push(Event::Released { item, used: 0 });
                return NEVER;
            };
            if let Some(by_ns) = InputBuffer::<T>::late_by(rule, ahead, time, end) {
                out.push(buffer.too_late(time, item, by_ns));
                return NEVER;
            }
            if let Err(refused) = buffer.insert(rule.ask, time, end, view.now, item) {
                out.push(match refused {
                    NotInserted::Useless(item) => Event::Released { item, used: 0 },
                    NotInserted::Repeated(item) => Event::Duplicate(item),
                });
                return NEVER;
            }
            buffer.release(rule, ahead, out);
            may_close = self.blocker == input && !self.open.is_empty();
        }

        let closed = may_close && self.close_settled(view, out);
        if is_pivot || closed {
            self.sweep(view, out);
        }
        if view.rules.revises() && !self.open.is_empty() {
            self.emit_ahead(view, out);
            return self.deadline(view);
        }
        if may_close {
            self.deadline(view)
        } else if self.open.is_empty() {
            self.unasked_deadline(view, input)
        } else {
            NEVER
        }
    }

    /// Takes the moment of a sample that ended before a restart. The time of a pivot is kept until its bundle would have
    /// closed. So later pivots find the one that closed before them, and no other pivot has its time.
    pub(super) fn observe(
        &mut self,
        view: &StreamView<'_>,
        (input, moment): (usize, Moment),
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        if input == view.rules.pivot && moment.late_after(self.closed).is_none() {
            let _known = self.open_pivot(view, moment, None);
        }
        self.go_on(view, out);
        self.deadline(view)
    }

    /// Returns true if a pivot repeats another of its event time that is open, or has just closed.
    fn repeats(&self, time: i64, item: &T) -> bool {
        let is_last = self.open.back().is_none_or(|open| open.time < time) && self.closed.time < time;
        if is_last || item.fingerprint().is_none() {
            return false;
        }
        let open = (0..self.open.len()).rev().filter_map(|at| self.open.get(at));
        let same = open.skip_while(|open| open.time > time).take_while(|open| open.time == time);
        let mut same = same.take(SameTimeIds::MOST).filter_map(|open| open.item.as_ref());
        self.same_time.has(time, item) || same.any(|open| item.repeats(open))
    }

    pub(super) fn tick(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        self.close_settled(view, out);
        self.sweep(view, out);
        self.release_unasked(view, out);
        if view.rules.revises() {
            self.emit_ahead(view, out);
        }
    }

    pub(super) fn close_now(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) -> bool {
        let closed = self.close_first(view, Some(Lack::Overflow), out);
        if closed {
            self.go_on(view, out);
        }
        closed
    }

    /// Evicts the earliest sample, a pivot after all others of its time. Its bundle is not made, unless it was emitted
    /// already.
    pub(super) fn evict(&mut self, view: &StreamView<'_>, bound: Bound, out: &mut Vec<Event<T>>) -> bool {
        let firsts = self.buffers.iter_mut().filter_map(|buffer| Some((buffer.first()?, buffer)));
        let buffer = firsts.min_by_key(|(first, _)| *first);
        match (buffer, self.open.front()) {
            (Some((first, buffer)), pivot) if pivot.is_none_or(|pivot| first <= pivot.time) => {
                buffer.evict_first(bound, out);
            }
            (_, Some(pivot)) if pivot.emitted.is_some() || pivot.item.is_none() => {
                self.close_first(view, Some(Lack::Overflow), out);
            }
            _ => {
                let Some(pivot) = self.open.pop_front() else { return false };
                out.extend(pivot.item.map(|item| Event::Evicted { item, bound, used: 0 }));
            }
        }
        self.go_on(view, out);
        true
    }

    /// Continues after the first sample was evicted.
    fn go_on(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        self.close_settled(view, out);
        self.sweep(view, out);
        if view.rules.revises() {
            self.emit_ahead(view, out);
        }
    }

    pub(super) fn finish(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        while self.close_first(view, Some(Lack::Idle), out) {}
        for buffer in &mut self.buffers {
            buffer.release_arrived_until(NEVER, out);
        }
    }

    /// Closes every pivot that may close, in the order of event times. Returns true if any did.
    fn close_settled(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) -> bool {
        let mut closed = false;
        while let Some(first) = self.open.front() {
            if first.waits_since.saturating_add(view.rules.max_wait) > view.now
                && let Some(blocker) = self.blocker_of(view, first)
            {
                self.blocker = blocker;
                break;
            }
            closed |= self.close_first(view, None, out);
        }
        closed
    }

    fn close_first(&mut self, view: &StreamView<'_>, cut: Option<Lack>, out: &mut Vec<Event<T>>) -> bool {
        let Some(pivot) = self.open.pop_front() else { return false };
        let before = self.closed.time;
        self.closed = pivot.moment();
        let record = pivot.record(view);
        let Some(item) = pivot.item else { return true };
        if record.is_some() {
            self.same_time.add(pivot.time, &item);
        }
        let mut bundle = begin(view, pivot.time, record, view.rules.inputs.len());
        let mut content = pivot.emitted.as_ref().map(|_| Vec::new());
        let cut_short = cut_short(pivot.waits_since.saturating_add(view.rules.max_wait) <= view.now, cut);
        let mut cut_inputs = SmallVec::<[usize; 4]>::new();
        for (buffer, (input, rule)) in self.buffers.iter_mut().zip(&view.rules.asked) {
            if *input == view.rules.pivot + 1 {
                bundle.parts.push(part_of_pivot(pivot.time, item.clone()));
            }
            let found = buffer.find(rule, before, pivot.time, &[]);
            // This test comes before the samples are taken: taken samples are not considered again.
            if may_be_cut(view, *input, cut_short)
                && !buffer.settled(rule, view.watermark(*input), pivot.time, &[])
                && !(found.holds_on(rule) && is_silent(view, *input, cut_short))
            {
                cut_inputs.push(*input);
            }
            if let Some(content) = &mut content {
                Provisional::note(content, buffer, &found);
            }
            bundle.parts.push(buffer.take(&found, true));
        }
        if bundle.parts.len() == view.rules.pivot {
            bundle.parts.push(part_of_pivot(pivot.time, item.clone()));
        }
        let emission = Provisional::last(pivot.emitted.as_deref(), content);
        let used = 1 + pivot.emitted.as_ref().map_or(0, |emitted| emitted.times);
        let closing =
            Closing { bundle, first: before == i64::MIN, opened_at: pivot.arrived, cut_short, emission };
        out.push(closing.into_event(view, |input| !cut_inputs.contains(&input)));
        out.push(Event::Released { item, used });
        true
    }
}

/// The part of the pivot itself.
pub(super) fn part_of_pivot<T>(time: i64, item: T) -> Part<T> {
    let at = Timestamp::from_nanos(time);
    let mut part = Part::empty(at, at);
    part.samples.push(item);
    part.skew_ns = Some(0);
    part
}
