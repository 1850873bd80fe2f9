//! Sets of samples that lie closest together, one of each input, without a pivot.
//!
//! The properties are those that ROS has published for its `ApproximateTime` policy (message_filters, by Brice Rebsamen
//! and others; <https://wiki.ros.org/message_filters/ApproximateTime>). The timers, the partial sets and samples out of
//! order are additions.
//!
//! # The sets
//! The *span* of a set is its latest stamp less its earliest; it is at most `max_interval`. Among the samples after those of
//! the last set, a set is *contiguous* to it if it contains the first sample of some input. The next set is the contiguous
//! one of the smallest span; of equal ones the earliest, input by input.
//!
//! With an `age_penalty` `a`, the next set is the one that minimises `(1 + a) * latest - earliest`. To be taken, a set that
//! ends later by some time must start later by that time and the factor on top. Samples before those of a set go
//! unused. If the earliest of the first samples fits into no set, it goes unused: another input has nothing within
//! `max_interval` of it.
//!
//! While no timer fires and no queue overflows, the sets have these properties.
//!
//! - **Once only.** A sample is in one set at most, and a set has one sample of each input.
//! - **Sets do not cross.** For every input the sample of a set is before that of the next.
//! - **Contiguous.** Of some input no sample lies between two sets, except samples that fit into none: no set was
//!   passed over.
//! - **The same after a restart.** A process that goes on with the samples that have not ended makes the remaining sets. For
//!   that, the samples that decide which sets are contiguous are held until the set is made, though no set can take them. But the
//!   new process does not know the event time of the last set, up to which no further set is made. That matters only if an input
//!   has ended: samples of the others up to that time make a set then.
//! - **Minimal.** No contiguous set has a smaller span (without an age penalty).
//! - **A function of the stamps.** The sets are the same for every order of arrival in which each input's disorder is within
//!   its `out_of_orderness`. Offsets distinguish samples of one input with exactly the same stamp; without
//!   them the first counts.
//! - **As early as this allows.** Samples are held back until the watermark has passed them. Of the samples that it has
//!   passed, a set is emitted as soon as no future sample can change it. A `min_period` is the shortest time between two
//!   samples of an input, so more is known of future samples. It does not change the sets unless samples come
//!   closer than that.
//!
//! The event time of a bundle is the latest stamp of its set. It rises from set to set. Where offsets
//! distinguish samples of that stamp, it may stay the same.
//!
//! # When timers fire
//! An input is *over* after it was idle for `idle_timeout`: nothing more is expected of it. The samples that it
//! has brought take part as ever, those held back for ordering included. Once it has nothing left, the sets are
//! made of the other inputs, and their `missing` policies decide about the bundles. When it brings a sample, the search
//! waits for it again, and begins the current set anew with it.
//!
//! A sample that is still held `max_wait` after its arrival has waited long enough. Then one set is made, or one sample
//! released as useless, as if all inputs were over, and again until no sample has waited for that long.
//!
//! Even then a sample is in one set at most, and sets do not cross for the inputs that they share. Event times
//! rise: the earliest of the first samples goes unused while none of them is after the last event time. Each set
//! is contiguous and minimal among the samples that were there. But the sets no longer follow from the stamps alone:
//! a quicker input would have given others. A timer that fires without making a set changes nothing, unless samples come
//! out of order after it.
//!
//! # When a queue overflows
//! An input holds `queue` samples at most. Beyond that the earliest is evicted, with an event. The evicted sample might have
//! been a better partner for those of the others. That is ruled out once the first sample of some other input is as late as
//! it. Until then no set is formed around the input's first sample: the earliest of the others goes unused instead.
//! ROS does the same.
//!
//! # Cost
//! The search takes one step for each sample and looks at one head of each input in it. The *pivot* is the latest first
//! sample of any input; every better set contains it. The search sees a sample again only if it was before the pivot and
//! the chosen set is before it.

mod line;
mod search;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use super::arrival::Arrival;
use super::bounds::Bound;
use super::bundle::{Lack, Part};
use super::event::Event;
use super::held::Held;
use super::moment::reach;
use super::verdict::{Closing, Emission, begin, cut_short};
use super::view::{NEVER, StreamView};
use crate::position::InputId;
use crate::time::Timestamp;
use line::{Line, NotTaken, SetEntry};
use search::{Search, SearchOutcome};

/// The samples of one stream, joined into the sets that lie closest together.
#[derive(Debug)]
pub(super) struct Approximate<T> {
    search: Search<T>,
}

impl<T: Held> Approximate<T> {
    pub(super) fn new(inputs: usize) -> Self {
        Self { search: Search::new(inputs) }
    }

    pub(super) fn held(&self) -> usize {
        self.search.lines().iter().map(Line::len).sum()
    }

    pub(super) fn reach(&self) -> Option<(i64, i64)> {
        reach(self.search.lines().iter().map(Line::reach))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.search.lines().iter().all(Line::is_empty)
    }

    /// The next deadline. It may be early: the search may turn out not to wait for that input.
    pub(super) fn deadline(&self, view: &StreamView<'_>) -> i64 {
        let Some(oldest) = self.waits_since() else { return NEVER };
        let lines = self.search.lines().iter().enumerate();
        let idle = lines.filter(|(_, line)| line.is_awaited()).map(|(input, _)| view.idle_at(input));
        idle.fold(oldest.saturating_add(view.rules.max_wait), i64::min)
    }

    /// The earliest arrival of all held samples.
    fn waits_since(&self) -> Option<i64> {
        self.search.lines().iter().filter_map(Line::waits_since).min()
    }
}

impl<T: Held + Clone> Approximate<T> {
    pub(super) fn push(
        &mut self,
        view: &StreamView<'_>,
        arrival: Arrival<T>,
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        let moment = arrival.moment();
        let Arrival { input, item, .. } = arrival;
        match self.search.insert(input, moment, view.watermark(input), view.now, item) {
            Ok(()) => {}
            Err(NotTaken::Duplicate(item)) => out.push(Event::Duplicate(item)),
            Err(NotTaken::Late(item, by_ns)) => out.push(Event::Late { item, by_ns }),
        }
        self.settle(view, out);
        while self.search.is_over_full(&view.rules.limits, input)
            && self.make_room(view, input, Bound::Queue, out)
        {}
        self.deadline(view)
    }

    pub(super) fn tick(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        self.settle(view, out);
    }

    /// Makes the set that follows if all inputs count as over, if the earliest sample fits into one then.
    pub(super) fn close_now(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) -> bool {
        self.give_up_on(|_| true);
        let unused = |entry: SetEntry<T>| Event::Released { item: entry.item, used: 0 };
        let found = self.search.go_on(&view.rules.limits, |entry| out.push(unused(entry)));
        if let SearchOutcome::Set(end) = found {
            self.close(view, end, Some(Lack::Overflow), out);
        }
        self.settle(view, out);
        matches!(found, SearchOutcome::Set(_))
    }

    pub(super) fn evict(&mut self, view: &StreamView<'_>, bound: Bound, out: &mut Vec<Event<T>>) -> bool {
        self.search.earliest().is_some_and(|input| self.make_room(view, input, bound, out))
    }

    fn make_room(
        &mut self,
        view: &StreamView<'_>,
        input: usize,
        bound: Bound,
        out: &mut Vec<Event<T>>,
    ) -> bool {
        let Some((entry, passed)) = self.search.make_room(input) else { return false };
        let (item, used) = (entry.item, 0);
        out.push(if passed { Event::Released { item, used } } else { Event::Evicted { item, bound, used } });
        self.settle(view, out);
        true
    }

    pub(super) fn finish(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        self.give_up_on(|_| true);
        while self.advance(view, Some(Lack::Idle), out) {}
    }

    fn give_up_on(&mut self, which: impl Fn(usize) -> bool) {
        for input in 0..self.search.lines().len() {
            self.search.set_over(input, which(input));
        }
    }

    /// Makes the sets that follow from the held samples, and those that have waited long enough.
    fn settle(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        let idle = |input| view.idle_at(input) <= view.now;
        loop {
            self.give_up_on(idle);
            while self.advance(view, None, out) {}
            let waited = self.waits_since().map_or(NEVER, |since| since.saturating_add(view.rules.max_wait));
            if waited > view.now {
                break;
            }
            self.give_up_on(|_| true);
            if !self.advance(view, None, out) {
                break;
            }
        }
    }

    /// Goes on until it finds a set, or a sample that fits into none. Returns true if it did.
    fn advance(&mut self, view: &StreamView<'_>, cut: Option<Lack>, out: &mut Vec<Event<T>>) -> bool {
        let limits = &view.rules.limits;
        let unused = |entry: SetEntry<T>| Event::Released { item: entry.item, used: 0 };
        match self.search.go_on(limits, |entry| out.push(unused(entry))) {
            SearchOutcome::Set(end) => self.close(view, end, cut, out),
            SearchOutcome::Useless(input) => out.extend(self.search.take_first(input).map(unused)),
            SearchOutcome::Nothing => return false,
        }
        true
    }

    fn close(&mut self, view: &StreamView<'_>, end: i64, cut: Option<Lack>, out: &mut Vec<Event<T>>) {
        let first = !self.search.has_closed();
        let waits_since = self.waits_since();
        let given_up = self.search.given_up(&view.rules.limits);
        let event_time = Timestamp::from_nanos(end);
        out.extend(self.search.take_passed().map(|entry| Event::Released { item: entry.item, used: 0 }));
        let mut opened_at = view.now;
        let mut items = SmallVec::<[T; 4]>::new();
        let mut bundle = begin(view, end, None, self.search.lines().len());
        for (input, entry) in (0_u16..).map(InputId).zip(self.search.take()) {
            let mut part = Part::empty(event_time, event_time);
            if let Some(entry) = entry {
                bundle.record = bundle.record.or(entry.tie_break.record(input));
                opened_at = opened_at.min(entry.arrived);
                part.samples.push(entry.item.clone());
                part.skew_ns = Some(entry.time.saturating_sub(end));
                items.push(entry.item);
            }
            bundle.parts.push(part);
        }
        let waited = waits_since.is_some_and(|since| since.saturating_add(view.rules.max_wait) <= view.now);
        let cut_short = cut_short(waited, cut);
        let closing = Closing { bundle, first, opened_at, cut_short, emission: Emission::ONLY };
        // A set lacks an input only if the search gave that input up.
        out.push(closing.into_event(view, |input| !given_up.get(input).copied().unwrap_or(true)));
        out.extend(items.into_iter().map(|item| Event::Released { item, used: 1 }));
    }
}
