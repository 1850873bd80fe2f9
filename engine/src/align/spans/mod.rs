//! Spans of event time that the samples themselves determine, without a pivot: spans of a fixed length, and sessions. They
//! are for models that take some time of every input at once.
//!
//! # The spans
//! *Tumbling*: event time is cut into `[k * size, (k + 1) * size)` since the epoch; each span in which any input has
//! something makes a bundle. Empty ones make none: only later samples show that a span stays empty,
//! and an event time that jumps ahead would make an endless number of them.
//!
//! *Session*: the samples of all inputs are taken in the order of event times. A sample that begins more than `gap` after
//! the end of all before it begins a session. So a sample that comes late may join two sessions into one.
//!
//! A session is `[b, e)`: from its first sample's beginning `b` to the end of the last. A sample without length is taken to
//! end 1 ns after its time. The part from `b + max` on is cut off. A sample that lasts across the cut has a part on
//! either side. The rest is joined as if nothing came before it: the next session begins at the cut if a sample lasts
//! across it, else with the next sample. As `b` is a function of event times, so is each cut.
//!
//! A sample that lasts is in every span that it overlaps, the first 10 000 of them (`MOST_SPANS`); one without length is in
//! that of its time. Of samples that last and overlap one another, the fewest are taken that cover as much, as in the
//! window of a pivot ([`super::cover`]). The same gaps count as covered, but a gap that ends a session never does.
//!
//! # When a span closes
//! A span closes as soon as it waits for no input. It does not wait for an input in any of these cases.
//! - The watermark has reached the span's end; for a session, it is more than `gap` past it, or has reached the cut.
//! - The watermark, or the end of the last closed span, has reached the beginning of the span, and samples that last cover
//!   the rest of it whole.
//! - The input is idle.
//!
//! Spans close in the order of event times.
//!
//! `max_wait` bounds the wait. It counts from the end of the span's time, not from its first sample, since a span may well
//! be longer than `max_wait`. Each sample gives an estimate of that end: from its arrival, event time is taken to
//! advance with the wall clock. The earliest estimate counts. The gap after a session belongs to its time, and its cut
//! ends it.
//!
//! After a span has closed, a sample that lies wholly before its end is late. One that lasts longer takes part in later
//! spans.
//!
//! # Independence of the order of arrival
//! While disorder stays within the configured bounds and no timer fires, spans and their parts are a function of
//! the event times alone. The limits are those of a pivot's windows: an input's samples either last or do not. No sample
//! that lasts lies wholly within what others cover, or in a gap that counts as covered. If one does, it may be late, and it
//! may change which samples are taken to cover a span. The spans and the share that is covered stay the same.
//!
//! # Cost
//! The cost is constant for a sample in order, plus one step for each span that it is in. A sample out of order moves those
//! after it.

mod span_buffer;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use super::arrival::Arrival;
use super::bounds::Bound;
use super::bundle::{Lack, Part};
use super::cover::Slack;
use super::cut::{Cut, OpenSpan};
use super::event::Event;
use super::held::Held;
use super::moment::reach;
use super::queue::Queue;
use super::verdict::{Closing, Emission, begin, cut_short};
use super::view::{NEVER, StreamView};
use crate::time::Timestamp;
use span_buffer::{SpanBuffer, SpanEntry};

/// The samples of one stream whose bundles are spans of time.
#[derive(Debug)]
pub(super) struct Spans<T> {
    buffers: SmallVec<[SpanBuffer<T>; 3]>,
    /// The open spans, by time. Of spans of a fixed length that a sample only lasts into, none but the first.
    open: Queue<OpenSpan, 3>,
    /// The end of the last span that closed: the time before it is over.
    floor: i64,
    has_closed: bool,
    /// The input that the first span waits for: while that input brings nothing, no span can close.
    blocker: usize,
}

impl<T> Spans<T> {
    pub(super) fn new(inputs: usize) -> Self {
        Self {
            buffers: (0..inputs).map(|_| SpanBuffer::new()).collect(),
            open: Queue::new(),
            floor: i64::MIN,
            has_closed: false,
            blocker: 0,
        }
    }

    pub(super) fn held(&self) -> usize {
        self.buffers.iter().map(SpanBuffer::len).sum()
    }

    pub(super) fn reach(&self) -> Option<(i64, i64)> {
        reach(self.buffers.iter().map(SpanBuffer::reach))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The time at which the span has waited long enough.
    fn due(view: &StreamView<'_>, span: &OpenSpan) -> i64 {
        let over = view.rules.cut.closes_at(span).saturating_add(span.delay);
        over.saturating_add(view.rules.max_wait)
    }

    /// The next deadline. It may be early, since the first span may have to wait for another input then.
    pub(super) fn deadline(&self, view: &StreamView<'_>) -> i64 {
        if self.open.is_empty() {
            return NEVER;
        }
        self.open.iter().map(|span| Self::due(view, span)).fold(view.idle_at(self.blocker), i64::min)
    }

    /// The time by which a sample is late, or `None` if it still can take part.
    fn late_by(&self, time: i64, end: i64) -> Option<u64> {
        // A sample that lasts must end after the floor, one without length may lie on it.
        let by = if end > time {
            self.floor.saturating_sub(end).saturating_add(1)
        } else {
            self.floor.saturating_sub(time)
        };
        u64::try_from(by).ok().filter(|by| *by > 0)
    }

    /// The first input that the span has to wait for.
    fn blocker_of(&self, view: &StreamView<'_>, span: &OpenSpan) -> Option<usize> {
        let rules = view.rules.inputs.iter();
        self.buffers.iter().zip(rules).enumerate().find_map(|(input, (buffer, rule))| {
            let settled = self.settled(view, span, input, buffer, rule.slack);
            (!settled && view.idle_at(input) > view.now).then_some(input)
        })
    }

    /// Returns true if no expected sample of an input can change a span.
    #[inline]
    fn settled(
        &self,
        view: &StreamView<'_>,
        span: &OpenSpan,
        input: usize,
        buffer: &SpanBuffer<T>,
        slack: Slack,
    ) -> bool {
        let watermark = view.watermark(input);
        // The time from which the earliest future sample counts. It is not before the span if the rest is covered: else an
        // earlier span would be open.
        let coming = watermark.max(self.floor);
        watermark >= view.rules.cut.closes_at(span)
            || buffer.covers((span.from, coming, view.rules.cut.limit(span.from)), slack)
    }

    /// Keeps the rest of a span open that has closed up to the floor.
    fn keep_open(&mut self, cut: Cut, closed: &OpenSpan) {
        let to = self.floor;
        let left = match cut {
            Cut::Tumbling { .. } => {
                let lasting = self.buffers.iter().flat_map(|buffer| buffer.before(to));
                let delay = lasting.map(|entry| entry.arrived.saturating_sub(entry.time)).min();
                delay.map(|delay| OpenSpan { from: to, end: to, delay })
            }
            Cut::Session { .. } => {
                let first =
                    self.buffers.iter().filter_map(SpanBuffer::first).map(|entry| entry.time.max(to)).min();
                first.filter(|from| *from <= closed.end).map(|from| OpenSpan { from, ..*closed })
            }
        };
        let Some(left) = left else { return };
        match self.open.get_mut(0).filter(|next| next.from <= left.from) {
            Some(next) => next.delay = next.delay.min(left.delay),
            None => self.open.insert(0, left),
        }
    }
}

impl<T: Held + Clone> Spans<T> {
    pub(super) fn push(
        &mut self,
        view: &StreamView<'_>,
        arrival: Arrival<T>,
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        let Arrival { input, time, end, item, .. } = arrival;
        let cut = view.rules.cut;
        // There has to be a time after the sample.
        let lasts = end > time;
        let time = time.min(i64::MAX - 1);
        let end = if lasts { cut.end_of(time, end) } else { time };
        if let Some(by_ns) = self.late_by(time, end) {
            out.push(Event::Late { item, by_ns });
            return NEVER;
        }
        let Some(buffer) = self.buffers.get_mut(input) else {
            out.push(Event::Released { item, used: 0 });
            return NEVER;
        };
        if let Err(item) = buffer.insert(SpanEntry { time, end, arrived: view.now, used: 0, item }) {
            out.push(Event::Duplicate(item));
            return NEVER;
        }
        let delay = view.now.saturating_sub(time);
        let (at, earlier) = cut.open(&mut self.open, time.max(self.floor), end, delay);
        let due = self.open.get(at).map_or(NEVER, |span| Self::due(view, span));
        if input != self.blocker && !(at == 0 && earlier) {
            return due;
        }
        self.close_settled(view, out);
        if self.open.is_empty() { NEVER } else { due.min(view.idle_at(self.blocker)) }
    }

    pub(super) fn tick(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        // A span that has waited long enough closes those before it as well.
        let overdue = |span: &&OpenSpan| Self::due(view, span) <= view.now;
        while let Some(until) = self.open.iter().filter(overdue).map(|span| span.from).max() {
            while self.open.front().is_some_and(|first| first.from <= until) {
                self.close_first(view, Some(Lack::MaxWait), out);
            }
        }
        self.close_settled(view, out);
    }

    pub(super) fn close_now(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) -> bool {
        let closed = self.close_first(view, Some(Lack::Overflow), out);
        self.close_settled(view, out);
        closed
    }

    pub(super) fn evict(&mut self, view: &StreamView<'_>, bound: Bound, out: &mut Vec<Event<T>>) -> bool {
        let firsts = self.buffers.iter_mut().filter_map(|buffer| Some((buffer.first()?.time, buffer)));
        let Some((_, buffer)) = firsts.min_by_key(|(first, _)| *first) else { return false };
        let Some((_, over)) = buffer.evict_first(bound, out) else { return false };
        self.correct_first(view.rules.cut, over);
        self.close_settled(view, out);
        true
    }

    /// Corrects the first span after its earliest sample left, whose first time after was `over`.
    fn correct_first(&mut self, cut: Cut, over: i64) {
        let Some(span) = self.open.pop_front() else { return };
        let last = match cut {
            Cut::Tumbling { .. } => cut.limit(span.from).saturating_sub(1),
            Cut::Session { .. } => span.end,
        };
        let within = |first: &SpanEntry<T>| first.time <= last;
        let next = self.buffers.iter().filter_map(SpanBuffer::first).filter(|first| within(first));
        match (cut, next.min_by_key(|first| (first.time, -first.end))) {
            (_, None) => {}
            (Cut::Tumbling { .. }, Some(_)) => self.open.insert(0, span),
            // The next sample holds the span together as the removed one did.
            (Cut::Session { .. }, Some(next)) if over <= next.time || next.end >= over => {
                self.open.insert(0, OpenSpan { from: next.time.max(self.floor), ..span });
            }
            (Cut::Session { .. }, Some(_)) => {
                let entries = self.buffers.iter().flat_map(|buffer| buffer.before(last.saturating_add(1)));
                for entry in entries {
                    let delay = entry.arrived.saturating_sub(entry.time);
                    cut.open(&mut self.open, entry.time.max(self.floor), entry.end, delay);
                }
            }
        }
    }

    pub(super) fn finish(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        while self.close_first(view, Some(Lack::Idle), out) {}
    }

    /// Closes every span that may close, in the order of event times.
    fn close_settled(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        while let Some(first) = self.open.front() {
            if let Some(blocker) = self.blocker_of(view, first) {
                self.blocker = blocker;
                break;
            }
            self.close_first(view, None, out);
        }
    }

    fn close_first(&mut self, view: &StreamView<'_>, cut_by: Option<Lack>, out: &mut Vec<Event<T>>) -> bool {
        let Some(span) = self.open.pop_front() else { return false };
        let cut = view.rules.cut;
        let from = span.from;
        let limit = cut.limit(from);
        let to = match cut {
            Cut::Tumbling { .. } => limit,
            Cut::Session { .. } => {
                let end = span.end.saturating_add(1).min(limit);
                let over = self.buffers.iter().filter_map(|buffer| buffer.over(end)).max();
                over.map_or(limit, |over| over.min(limit))
            }
        };
        let arrivals = self.buffers.iter().flat_map(|buffer| buffer.before(to)).map(|entry| entry.arrived);
        let opened_at = arrivals.min().unwrap_or(view.now);
        let mut bundle = begin(view, from, None, self.buffers.len());
        for (buffer, rule) in self.buffers.iter_mut().zip(&view.rules.inputs) {
            bundle.parts.push(Part::empty(Timestamp::from_nanos(from), Timestamp::from_nanos(to)));
            if let Some(part) = bundle.parts.last_mut() {
                buffer.pick(from, to, rule.slack, part);
            }
        }
        let waited = Self::due(view, &span) <= view.now;
        let (first, emission) = (!self.has_closed, Emission::ONLY);
        let cut_short = cut_short(waited, cut_by);
        let closing = Closing { bundle, first, opened_at, cut_short, emission };
        out.push(closing.into_event(view, |input| {
            let place = self.buffers.get(input).zip(view.rules.inputs.get(input));
            place.is_none_or(|(buffer, rule)| self.settled(view, &span, input, buffer, rule.slack))
        }));
        self.has_closed = true;
        self.floor = to;
        for buffer in &mut self.buffers {
            buffer.release(to, out);
        }
        self.keep_open(cut, &span);
        true
    }
}
