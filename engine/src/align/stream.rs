//! One stream: the clocks, deadlines and samples put aside that every method needs.

use smallvec::SmallVec;

use super::arrival::Arrival;
use super::bounds::{Bound, Overflow};
use super::clock::{Clock, Disorders};
use super::epoch::Aside;
use super::event::{Event, ended};
use super::held::Held;
use super::matching::Matching;
use super::moment::Moment;
use super::rules::Rules;
use super::view::{NEVER, StreamView};
use crate::position::{InputId, PartitionId};
use crate::sample::StreamKey;
use crate::time::Timestamp;

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Stream<T> {
    pub(super) key: StreamKey,
    /// The deadline that the heap has for this stream: never later than that of [`Self::deadline`].
    pub(super) scheduled: i64,
    clocks: SmallVec<[Clock; 3]>,
    disorders: Disorders,
    /// The first event time of its epoch; `i64::MIN` before that.
    began: i64,
    /// Samples whose event times are far from all others of their input; mostly none.
    aside: Option<Box<Aside<T>>>,
    matching: Matching<T>,
}

impl<T: Held + Clone> Stream<T> {
    pub(super) fn new(key: StreamKey, rules: &Rules, now: i64) -> Self {
        Self {
            key,
            scheduled: NEVER,
            clocks: rules.inputs.iter().map(|_| Clock::new(now)).collect(),
            disorders: Disorders::default(),
            began: i64::MIN,
            aside: None,
            matching: Matching::new(&rules.policy),
        }
    }

    fn parts<'a>(&'a mut self, rules: &'a Rules, now: i64) -> (StreamView<'a>, &'a mut Matching<T>) {
        (
            StreamView { rules, key: &self.key, clocks: &self.clocks, began: self.began, now },
            &mut self.matching,
        )
    }

    /// Takes a sample. Returns the latest time at which the wall clock has to be asked for it.
    #[inline]
    pub(super) fn push(
        &mut self,
        rules: &Rules,
        partition: i32,
        arrival: Arrival<T>,
        now: i64,
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        if !self.follow(rules, partition, (arrival.input, arrival.time), now) {
            return self.put_aside(rules, partition, arrival, now, out);
        }
        if self.aside.is_some() {
            // The clock has not stepped: the samples that were put aside were wrong.
            self.timestamp_outlier(arrival.input, out);
        }
        self.take(rules, arrival, now, out)
    }

    /// Advances the clock of an input by a sample, unless its event time is so far off that it has to be put aside.
    #[inline]
    fn follow(&mut self, rules: &Rules, partition: i32, (input, time): (usize, i64), now: i64) -> bool {
        if let (Some(clock), Some(rule)) = (self.clocks.get(input), rules.inputs.get(input)) {
            if clock.step_to(time).unsigned_abs() > rule.epoch_after
                && !self.has_gone_on(input, time, rule.epoch_after, now)
            {
                return false;
            }
            let allowed = match rule.learn_up_to {
                0 => rule.out_of_orderness,
                _ => self.disorders.learn(rule, (input, self.clocks.len()), clock.step_to(time)),
            };
            if let Some(clock) = self.clocks.get_mut(input) {
                clock.follow(time, allowed, partition, now);
            }
            if self.began == i64::MIN {
                self.began = time;
            }
        }
        true
    }

    /// Takes a sample whose event time the clock has already followed. Returns as [`Self::push`] does.
    #[inline]
    pub(super) fn take(
        &mut self,
        rules: &Rules,
        arrival: Arrival<T>,
        now: i64,
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        let (view, matching) = self.parts(rules, now);
        let deadline = match matching.push(&view, arrival, out) {
            NEVER if matching.is_empty() => self.rests_until(rules),
            deadline => deadline,
        };
        if rules.any_idle_behind {
            return self.look_behind(rules, now, out);
        }
        deadline.min(self.step_at(rules))
    }

    /// Moves the clock by a sample that exceeds a bound, and emits what that settles. Returns true if the sample can be
    /// taken once there is room, and need not be put aside.
    #[cold]
    pub(super) fn follow_only(
        &mut self,
        rules: &Rules,
        partition: i32,
        arrival: &Arrival<T>,
        now: i64,
        out: &mut Vec<Event<T>>,
    ) -> bool {
        if !self.follow(rules, partition, (arrival.input, arrival.time), now) {
            self.end_silence(partition, arrival.input, now);
            return false;
        }
        self.timestamp_outlier(arrival.input, out);
        let (view, matching) = self.parts(rules, now);
        matching.tick(&view, out);
        true
    }

    /// Moves the clock by a sample that ended before a restart. Returns as [`Self::push`] does.
    #[cold]
    pub(super) fn observe(
        &mut self,
        rules: &Rules,
        partition: i32,
        (input, moment): (usize, Moment),
        now: i64,
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        if !self.follow(rules, partition, (input, moment.time), now) {
            self.end_silence(partition, input, now);
            return self.deadline(rules, now);
        }
        self.timestamp_outlier(input, out);
        let (view, matching) = self.parts(rules, now);
        let deadline = match matching.observe(&view, (input, moment), out) {
            NEVER if matching.is_empty() => self.rests_until(rules),
            deadline => deadline,
        };
        if rules.any_idle_behind {
            return self.look_behind(rules, now, out);
        }
        deadline.min(self.step_at(rules))
    }

    /// Applies the change that an input far ahead of others may have made. Returns as [`Self::push`] does.
    #[cold]
    fn look_behind(&mut self, rules: &Rules, now: i64, out: &mut Vec<Event<T>>) -> i64 {
        let (view, matching) = self.parts(rules, now);
        matching.tick(&view, out);
        self.deadline(rules, now)
    }

    /// Closes or evicts something, since a bound is exceeded. Returns true if there was anything.
    #[cold]
    pub(super) fn shed(
        &mut self,
        rules: &Rules,
        overflow: Overflow,
        bound: Bound,
        now: i64,
        out: &mut Vec<Event<T>>,
    ) -> bool {
        let (view, matching) = self.parts(rules, now);
        if overflow == Overflow::Close {
            let (start, before) = (out.len(), matching.reach());
            let released = matching.close_now(&view, out) && ended(out, start) > 0;
            if released && (bound != Bound::StreamSpan || matching.reach() != before) {
                return true;
            }
        }
        matching.evict(&view, bound, out) || self.evict_aside(bound, out)
    }

    /// Evicts the latest to arrive of the samples put aside, so that the first is believed once it has waited.
    fn evict_aside(&mut self, bound: Bound, out: &mut Vec<Event<T>>) -> bool {
        let Some(aside) = &mut self.aside else { return false };
        let put = aside.pop();
        if aside.len() == 0 {
            self.aside = None;
        }
        let evicted = put.map(|put| Event::Evicted { item: put.arrival.item, bound, used: 0 });
        out.extend(evicted);
        true
    }

    /// The earliest and the latest held event time, without samples put aside.
    pub(super) fn reach(&self) -> Option<(i64, i64)> {
        self.matching.reach()
    }

    /// Returns true if an event time far ahead of its input's clock is expected after a silence. It is then near to
    /// another input's clock, or as far on as the wall clock.
    #[cold]
    fn has_gone_on(&self, input: usize, time: i64, near: u64, now: i64) -> bool {
        let Some(clock) = self.clocks.get(input) else { return false };
        let elapsed = now.saturating_sub(clock.last_arrival);
        let with_others = self.clocks.iter().any(|other| other.is_near(time, near));
        time > clock.latest && (with_others || clock.step_to(time).abs_diff(elapsed) <= near)
    }

    /// Puts a sample aside whose event time is far from its input's clock.
    #[cold]
    fn put_aside(
        &mut self,
        rules: &Rules,
        partition: i32,
        arrival: Arrival<T>,
        now: i64,
        out: &mut Vec<Event<T>>,
    ) -> i64 {
        let input = arrival.input;
        let near =
            rules.inputs.get(input).map_or(0, |rule| i64::try_from(rule.epoch_after).unwrap_or(i64::MAX));
        self.end_silence(partition, input, now);
        let aside = self.aside.get_or_insert_default();
        if aside.has(&arrival) {
            out.push(Event::Duplicate(arrival.item));
            return self.deadline(rules, now);
        }
        let stepped = aside
            .put((arrival, partition), now, near, |put| out.push(Event::TimestampOutlier(put.arrival.item)));
        if stepped {
            self.begin_epoch(rules, now, out);
        }
        self.deadline(rules, now)
    }

    /// Ends the silence of an input by a sample put aside, whatever its event time.
    fn end_silence(&mut self, partition: i32, input: usize, now: i64) {
        if let Some(clock) = self.clocks.get_mut(input) {
            (clock.last_arrival, clock.partition) = (now, Some(partition));
        }
    }

    fn timestamp_outlier(&mut self, input: usize, out: &mut Vec<Event<T>>) {
        let Some(aside) = &mut self.aside else { return };
        out.extend(aside.take(input).into_iter().map(|put| Event::TimestampOutlier(put.arrival.item)));
        if aside.len() == 0 {
            self.aside = None;
        }
    }

    /// The time at which samples put aside are taken for a step, though too few have come: nothing else came.
    #[inline]
    fn step_at(&self, rules: &Rules) -> i64 {
        let since = self.aside.as_ref().and_then(|aside| aside.since());
        since.map_or(NEVER, |since| since.saturating_add(rules.max_wait))
    }

    /// Closes everything, forgets all event times, and goes on with the samples put aside.
    fn begin_epoch(&mut self, rules: &Rules, now: i64, out: &mut Vec<Event<T>>) {
        let Some(mut aside) = self.aside.take() else { return };
        let put = aside.take_all();
        if let Some(first) = put.first() {
            out.push(Event::Epoch {
                stream: self.key.clone(),
                input: InputId(u16::try_from(first.arrival.input).unwrap_or(u16::MAX)),
                from: Timestamp::from_nanos(
                    self.clocks.get(first.arrival.input).map_or(0, |clock| clock.latest),
                ),
                to: Timestamp::from_nanos(first.arrival.time),
            });
        }
        let (view, matching) = self.parts(rules, now);
        matching.finish(&view, out);
        self.matching = Matching::new(&rules.policy);
        self.clocks.iter_mut().for_each(Clock::restart);
        self.disorders = Disorders::default();
        self.began = i64::MIN;
        for put in put {
            // They agree with one another: none is put aside again.
            self.push(rules, put.partition, put.arrival, now, out);
        }
    }

    /// Applies what time alone changes.
    pub(super) fn tick(&mut self, rules: &Rules, now: i64, out: &mut Vec<Event<T>>) {
        if self.step_at(rules) <= now {
            self.begin_epoch(rules, now, out);
        }
        let (view, matching) = self.parts(rules, now);
        matching.tick(&view, out);
    }

    /// The next time at which the wall clock alone changes something. It may be early, never late.
    pub(super) fn deadline(&mut self, rules: &Rules, now: i64) -> i64 {
        let step = self.step_at(rules);
        let (view, matching) = self.parts(rules, now);
        let deadline = if matching.is_empty() { self.rests_until(rules) } else { matching.deadline(&view) };
        deadline.min(step)
    }

    /// Closes all that is open, as when all inputs are idle, and releases the rest.
    pub(super) fn finish(&mut self, rules: &Rules, now: i64, out: &mut Vec<Event<T>>) {
        // A sample that does not agree with the rest is put aside again; some are accepted each time.
        while self.aside.is_some() {
            self.begin_epoch(rules, now, out);
        }
        let (view, matching) = self.parts(rules, now);
        matching.finish(&view, out);
    }

    pub(super) fn is_forgettable(&self, rules: &Rules, now: i64) -> bool {
        self.matching.is_empty() && self.rests_until(rules) <= now
    }

    pub(super) fn held(&self) -> usize {
        self.matching.held() + self.aside.as_ref().map_or(0, |aside| aside.len())
    }

    /// The latest event time of each input; `i64::MIN` before the first.
    pub(super) fn latest(&self) -> impl Iterator<Item = i64> {
        self.clocks.iter().map(|clock| clock.latest)
    }

    /// The partitions that its samples came from.
    pub(super) fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        (0_u16..).zip(&self.clocks).filter_map(|(input, clock)| {
            clock.partition.map(|partition| PartitionId { input: InputId(input), partition })
        })
    }

    /// The time at which it can be forgotten, if its method holds nothing. Never while samples are put aside.
    fn rests_until(&self, rules: &Rules) -> i64 {
        if self.aside.is_some() {
            return NEVER;
        }
        let last_arrival = self.clocks.iter().map(|clock| clock.last_arrival).max().unwrap_or(i64::MIN);
        last_arrival.saturating_add(rules.forget_after)
    }
}
