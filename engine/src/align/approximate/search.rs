//! The search for the next set, one step for each sample.

use smallvec::SmallVec;

use super::super::held::Held;
use super::super::limits::SearchLimits;
use super::super::moment::Moment;
use super::line::{Line, NotTaken, SetEntry};

/// The samples of one stream, and the state of the search among them.
#[derive(Debug)]
pub(super) struct Search<T> {
    lines: SmallVec<[Line<T>; 3]>,
    /// The best set so far: of every line with samples, the first that the search has not passed over.
    best: Option<Best>,
    /// The latest event time in the last set; `i64::MIN` before the first.
    closed: i64,
}

#[derive(Clone, Copy, Debug)]
struct Best {
    start: i64,
    end: i64,
    /// The latest of the samples that were first when the search began. Every better set contains it.
    pivot: i64,
}

/// The outcome of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SearchOutcome {
    /// The set of the first samples of all lines, without those passed over; its latest event time.
    Set(i64),
    /// The first sample of this input can be in no set.
    Useless(usize),
    /// Future samples may decide.
    Nothing,
}

/// The earliest and the latest head.
#[derive(Clone, Copy)]
struct Heads {
    start: i64,
    first: usize,
    end: i64,
    last: usize,
    /// Set if another head is as late as the last.
    tied: bool,
}

impl Heads {
    fn none() -> Self {
        Self { start: i64::MAX, first: usize::MAX, end: i64::MIN, last: usize::MAX, tied: false }
    }

    #[inline]
    fn add(&mut self, input: usize, time: i64) {
        if self.first == usize::MAX || time < self.start {
            (self.start, self.first) = (time, input);
        }
        if self.last == usize::MAX || time > self.end {
            (self.end, self.last, self.tied) = (time, input, false);
        } else if time == self.end {
            self.tied = true;
        }
    }
}

impl<T: Held> Search<T> {
    pub(super) fn new(inputs: usize) -> Self {
        Self { lines: (0..inputs).map(|_| Line::new()).collect(), best: None, closed: i64::MIN }
    }

    pub(super) fn lines(&self) -> &[Line<T>] {
        &self.lines
    }

    /// Returns true if a set was formed before.
    pub(super) fn has_closed(&self) -> bool {
        self.closed > i64::MIN
    }

    /// Takes a sample of an input that is not over.
    #[inline]
    pub(super) fn insert(
        &mut self,
        input: usize,
        moment: Moment,
        watermark: i64,
        now: i64,
        item: T,
    ) -> Result<(), NotTaken<T>> {
        // The aligner passes on no other input.
        let Some(line) = self.lines.get_mut(input) else { return Err(NotTaken::Late(item, 1)) };
        // The best set was made without this input.
        let stranger = line.is_over() && line.is_empty();
        let outcome = line.insert(moment, watermark, now, item);
        line.set_over(false);
        if stranger || matches!(outcome, Ok(true)) {
            self.restart();
        }
        outcome.map(|_| ())
    }

    /// Sets whether more is expected of this input.
    pub(super) fn set_over(&mut self, input: usize, over: bool) {
        if let Some(line) = self.lines.get_mut(input) {
            line.set_over(over);
        }
    }

    /// Goes back to the first samples.
    pub(super) fn restart(&mut self) {
        self.best = None;
        self.lines.iter_mut().for_each(Line::rewind);
    }

    /// Goes on as far as the samples allow. Samples that a better set has passed over go to `passed`, except one that is
    /// kept until [`Self::take_passed`]. The caller takes out the found set or sample before going on.
    pub(super) fn go_on(
        &mut self,
        limits: &SearchLimits,
        mut passed: impl FnMut(SetEntry<T>),
    ) -> SearchOutcome {
        loop {
            let mut heads = Heads::none();
            for (input, line) in self.lines.iter().enumerate() {
                match line.head() {
                    Some(time) => heads.add(input, time),
                    // The input has nothing, and the search does not wait for it.
                    None if line.is_over() && line.is_empty() => {}
                    None => return self.short_of_samples(limits),
                }
            }
            if heads.first == usize::MAX {
                return SearchOutcome::Nothing;
            }
            let best = match self.best {
                Some(best) => {
                    let better = limits
                        .pays(heads.end.saturating_sub(best.end), heads.start.saturating_sub(best.start));
                    if better {
                        self.lines.iter_mut().for_each(|line| line.prefer(best.pivot, &mut passed));
                        Best { start: heads.start, end: heads.end, ..best }
                    } else {
                        best
                    }
                }
                None => match self.begin(limits, heads) {
                    Some(best) => best,
                    None => return SearchOutcome::Useless(heads.first),
                },
            };
            self.best = Some(best);
            // The remaining sets start at the pivot or before, and end where this one does or later.
            if heads.start >= best.pivot || !pays_at_best(limits, best, heads.end) {
                return SearchOutcome::Set(best.end);
            }
            if let Some(line) = self.lines.get_mut(heads.first) {
                line.step();
            }
        }
    }

    /// The first set that is good enough, unless its earliest sample can be in none.
    fn begin(&mut self, limits: &SearchLimits, heads: Heads) -> Option<Best> {
        for (input, line) in self.lines.iter_mut().enumerate() {
            // The evicted sample of this input was earlier than its head, and the set would not be narrower with it.
            if input != heads.last || heads.tied || heads.first == heads.last {
                line.set_lossy(false);
            }
        }
        let pivot_lossy = self.lines.get(heads.last).is_some_and(Line::is_lossy);
        let good = heads.end.saturating_sub(heads.start) <= limits.max_interval
            && (heads.end > self.closed || !self.has_closed() || self.differ_by_tie_break(heads.end))
            && !pivot_lossy;
        good.then_some(Best { start: heads.start, end: heads.end, pivot: heads.end })
    }

    /// Returns true if a set that ends at the time of the last one differs from it by the offset of its last sample.
    #[cold]
    fn differ_by_tie_break(&self, end: i64) -> bool {
        end == self.closed
            && self
                .lines
                .iter()
                .filter_map(Line::head_moment)
                .any(|head| head.time == end && head.tie_break.is_some())
    }

    /// Decides, when an input has no more known samples, if a future one can still make a better set.
    ///
    /// Takes the earliest event times that future samples may have, which is the best case.
    fn short_of_samples(&self, limits: &SearchLimits) -> SearchOutcome {
        let Some(best) = self.best else { return SearchOutcome::Nothing };
        let mut cursors: SmallVec<[usize; 16]> = self.lines.iter().map(Line::cursor).collect();
        loop {
            let mut heads = Heads::none();
            for (input, (line, cursor)) in self.lines.iter().zip(&cursors).enumerate() {
                match line.peek(*cursor) {
                    Some(time) => heads.add(input, time),
                    None if line.is_over() && line.is_empty() => {}
                    None if line.is_over() => return SearchOutcome::Set(best.end),
                    None => heads.add(input, line.coming(limits.min_period(input)).max(best.pivot)),
                }
            }
            if !pays_at_best(limits, best, heads.end) {
                return SearchOutcome::Set(best.end);
            }
            let gain = heads.start.saturating_sub(best.start);
            if limits.pays(heads.end.saturating_sub(best.end), gain) {
                return SearchOutcome::Nothing;
            }
            match cursors.get_mut(heads.first) {
                Some(cursor) => *cursor += 1,
                None => return SearchOutcome::Nothing,
            }
        }
    }

    /// The inputs that the search gave up and that might have changed the best set or its sample.
    pub(super) fn given_up(&mut self, limits: &SearchLimits) -> SmallVec<[bool; 8]> {
        if !self.lines.iter().any(Line::is_over) {
            return SmallVec::from_elem(false, self.lines.len());
        }
        let mut over: SmallVec<[bool; 8]> = self.lines.iter().map(Line::is_over).collect();
        self.lines.iter_mut().for_each(|line| line.set_over(false));
        let proven = matches!(self.short_of_samples(limits), SearchOutcome::Set(_));
        for (line, over) in self.lines.iter_mut().zip(&mut over) {
            line.set_over(*over);
            *over &= !line.is_settled_first() || (!proven && line.is_short());
        }
        over
    }

    /// Takes out the held samples that the best set so far has passed over.
    pub(super) fn take_passed(&mut self) -> impl Iterator<Item = SetEntry<T>> {
        self.lines.iter_mut().filter_map(Line::pop_passed)
    }

    /// Takes out the found set, after the samples that it has passed over: a sample, or none, of each input.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Option<SetEntry<T>>> {
        if let Some(best) = self.best {
            self.closed = best.end;
        }
        self.restart();
        self.lines.iter_mut().map(Line::pop)
    }

    /// Takes out the first sample of an input.
    pub(super) fn take_first(&mut self, input: usize) -> Option<SetEntry<T>> {
        self.restart();
        self.lines.get_mut(input)?.pop()
    }

    /// The input of the earliest of all samples.
    pub(super) fn earliest(&self) -> Option<usize> {
        let firsts = self.lines.iter().enumerate().filter_map(|(input, line)| Some((line.reach()?.0, input)));
        Some(firsts.min()?.1)
    }

    /// Returns true if an input holds more than it may.
    pub(super) fn is_over_full(&self, limits: &SearchLimits, input: usize) -> bool {
        self.lines.get(input).is_some_and(|line| line.len() > limits.queue)
    }

    /// Takes out the first sample of an input, to make room for others. Returns with it true if it was passed over: then no
    /// set has lost by it.
    pub(super) fn make_room(&mut self, input: usize) -> Option<(SetEntry<T>, bool)> {
        let line = self.lines.get_mut(input)?;
        if let Some(entry) = line.pop_passed() {
            return Some((entry, true));
        }
        line.set_lossy(true);
        self.take_first(input).map(|entry| (entry, false))
    }
}

/// Returns true if a set that starts at the pivot and ends at `end` would be better.
#[inline]
fn pays_at_best(limits: &SearchLimits, best: Best, end: i64) -> bool {
    limits.pays(end.saturating_sub(best.end), best.pivot.saturating_sub(best.start))
}
