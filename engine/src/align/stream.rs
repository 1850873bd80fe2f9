//! One stream: its open pivots, its lanes, and when a pivot closes.

use std::collections::VecDeque;

use smallvec::{SmallVec, smallvec};

use super::bundle::{Bundle, Part};
use super::event::Event;
use super::lane::Lane;
use super::policy::Missing;
use super::rules::Rules;
use crate::position::InputId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

/// Stands for "never" among deadlines.
pub(super) const NEVER: i64 = i64::MAX;

/// What the aligner holds of one stream.
#[derive(Debug)]
pub(super) struct Stream<T> {
    pub(super) key: StreamKey,
    pub(super) lanes: SmallVec<[Lane<T>; 3]>,
    /// Pivots whose bundles are open, by event time; no two have the same.
    open: VecDeque<Open<T>>,
    /// The event time of the last pivot that closed; `i64::MIN` before the first.
    closed: i64,
    /// The earliest event time that an open pivot has or one to come may have.
    floor: i64,
    /// The input that the first open pivot waits for: as long as nothing happens there, nothing can close.
    blocker: usize,
    /// The deadline that the heap has for this stream: never later than what [`Self::deadline`] says.
    pub(super) scheduled: i64,
}

/// A pivot that waits for the others.
#[derive(Debug)]
struct Open<T> {
    time: i64,
    arrived: i64,
    /// The earliest arrival of it and all open pivots after it in event time. They close in that order, so when
    /// one has waited long enough, those before it have to go too.
    waits_since: i64,
    item: T,
}

impl<T> Stream<T> {
    pub(super) fn new(key: StreamKey, inputs: usize, now: i64) -> Self {
        Self {
            key,
            lanes: (0..inputs).map(|_| Lane::new(now)).collect(),
            open: VecDeque::new(),
            closed: i64::MIN,
            floor: i64::MIN,
            blocker: 0,
            scheduled: NEVER,
        }
    }

    pub(super) fn held(&self) -> usize {
        self.open.len() + self.lanes.iter().map(Lane::len).sum::<usize>()
    }

    /// By how much a pivot is late, or `None` if it still can take part.
    pub(super) fn pivot_late_by(&self, time: i64) -> Option<u64> {
        u64::try_from(self.closed.saturating_add(1).saturating_sub(time)).ok().filter(|by| *by > 0)
    }

    /// Whether the last bundle had this event time.
    pub(super) fn just_closed(&self, time: i64) -> bool {
        self.closed == time && self.closed > i64::MIN
    }

    pub(super) fn floor(&self) -> i64 {
        self.floor
    }

    /// Puts a pivot among the open ones and says whether what is first may now close. Gives it back when there
    /// is one of the same time.
    pub(super) fn open_pivot(&mut self, rules: &Rules, time: i64, now: i64, item: T) -> Result<bool, T> {
        let mut at = self.open.len();
        while let Some(before) = at.checked_sub(1).and_then(|i| self.open.get(i)) {
            if before.time < time {
                break;
            }
            if before.time == time {
                return Err(item);
            }
            at -= 1;
        }
        let waits_since = self.open.get(at).map_or(now, |next| next.waits_since);
        let pivot = Open { time, arrived: now, waits_since, item };
        if at == self.open.len() {
            self.open.push_back(pivot);
        } else {
            self.open.insert(at, pivot);
        }
        Ok(at == 0 || self.blocker == rules.pivot)
    }

    /// Whether a sample of this input may let the first open pivot close.
    #[inline]
    pub(super) fn waits_for(&self, input: usize) -> bool {
        self.blocker == input && !self.open.is_empty()
    }

    /// The first input that the pivot at `t` has to wait for.
    fn blocker_of(&self, rules: &Rules, t: i64, now: i64) -> Option<usize> {
        self.lanes.iter().zip(&rules.inputs).enumerate().find_map(|(input, (lane, rule))| {
            let settled =
                if input == rules.pivot { lane.watermark(rule) >= t } else { lane.settled(rule, t) };
            (!settled && lane.idle_at(rule) > now).then_some(input)
        })
    }

    /// Lets go of what no open pivot and none to come can use. Returns how many samples.
    pub(super) fn sweep(&mut self, rules: &Rules, out: &mut Vec<Event<T>>) -> usize {
        let watermark = match (self.lanes.get(rules.pivot), rules.inputs.get(rules.pivot)) {
            (Some(lane), Some(rule)) => lane.watermark(rule),
            _ => i64::MIN,
        };
        let coming = watermark.max(self.closed.saturating_add(1));
        let floor = self.open.front().map_or(coming, |first| first.time.min(coming));
        // A pivot behind the watermark takes the floor back: what comes for it now is not late.
        let risen = floor > self.floor;
        self.floor = floor;
        if !risen {
            return 0;
        }
        self.lanes.iter_mut().zip(&rules.inputs).map(|(lane, rule)| lane.release(rule, floor, out)).sum()
    }

    /// While the pivot is silent its event time is taken to run on with the wall clock: a sample is let go of
    /// when it has waited for as long as a bundle may wait and as far as a pivot may reach back.
    pub(super) fn release_unasked(&mut self, rules: &Rules, now: i64, out: &mut Vec<Event<T>>) -> usize {
        if !self.open.is_empty() || self.pivot_idle_at(rules) > now {
            return 0;
        }
        let lanes = self.lanes.iter_mut().zip(&rules.inputs);
        lanes.map(|(lane, rule)| lane.release_arrived_until(now.saturating_sub(rule.retention), out)).sum()
    }

    fn pivot_idle_at(&self, rules: &Rules) -> i64 {
        match (self.lanes.get(rules.pivot), rules.inputs.get(rules.pivot)) {
            (Some(lane), Some(rule)) => lane.idle_at(rule),
            _ => i64::MIN,
        }
    }

    /// When the wall clock alone changes something next. With an open pivot it may be early, since the pivot may
    /// have to wait for another input then; it is never late.
    pub(super) fn deadline(&self, rules: &Rules) -> i64 {
        if let Some(first) = self.open.front() {
            let waited = first.waits_since.saturating_add(rules.max_wait);
            return match (self.lanes.get(self.blocker), rules.inputs.get(self.blocker)) {
                (Some(lane), Some(rule)) => waited.min(lane.idle_at(rule)),
                _ => waited,
            };
        }
        let lanes = self.lanes.iter().zip(&rules.inputs);
        let unasked = lanes
            .filter_map(|(lane, rule)| Some(lane.first_arrived()?.saturating_add(rule.retention)))
            .min()
            .map(|release| release.max(self.pivot_idle_at(rules)));
        unasked.unwrap_or_else(|| self.forget_at(rules))
    }

    /// When the sample that `input` just brought would be let go of, were no pivot to come.
    #[inline]
    pub(super) fn unasked_deadline(&self, rules: &Rules, input: usize, now: i64) -> i64 {
        let retention = rules.inputs.get(input).map_or(0, |rule| rule.retention);
        now.saturating_add(retention).max(self.pivot_idle_at(rules))
    }

    fn forget_at(&self, rules: &Rules) -> i64 {
        let heard = self.lanes.iter().map(|lane| lane.heard).max().unwrap_or(i64::MIN);
        heard.saturating_add(rules.forget_after)
    }

    pub(super) fn is_forgettable(&self, rules: &Rules, now: i64) -> bool {
        self.open.is_empty() && self.lanes.iter().all(Lane::is_empty) && self.forget_at(rules) <= now
    }

    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Lets go of everything that is left.
    pub(super) fn release_all(&mut self, out: &mut Vec<Event<T>>) -> usize {
        self.lanes.iter_mut().map(|lane| lane.release_arrived_until(NEVER, out)).sum()
    }
}

impl<T: Clone> Stream<T> {
    /// Closes every pivot that may close, in the order of event times. Returns how many.
    pub(super) fn close_settled(&mut self, rules: &Rules, now: i64, out: &mut Vec<Event<T>>) -> usize {
        let mut closed = 0;
        while let Some(first) = self.open.front() {
            if first.waits_since.saturating_add(rules.max_wait) > now
                && let Some(blocker) = self.blocker_of(rules, first.time, now)
            {
                self.blocker = blocker;
                break;
            }
            closed += self.close_first(rules, now, out);
        }
        closed
    }

    /// Closes every pivot, as when all inputs are idle. Returns how many.
    pub(super) fn close_all(&mut self, rules: &Rules, now: i64, out: &mut Vec<Event<T>>) -> usize {
        let open = self.open.len();
        (0..open).map(|_| self.close_first(rules, now, out)).sum()
    }

    fn close_first(&mut self, rules: &Rules, now: i64, out: &mut Vec<Event<T>>) -> usize {
        let Some(pivot) = self.open.pop_front() else { return 0 };
        let first = self.closed == i64::MIN;
        self.closed = pivot.time;
        let event_time = Timestamp::from_nanos(pivot.time);
        let mut parts = SmallVec::with_capacity(self.lanes.len());
        // The graver verdict wins: a dead letter keeps what dropping would lose.
        let mut dropped = None;
        let mut dead = None;
        for (input, (lane, rule)) in (0_u16..).zip(self.lanes.iter_mut().zip(&rules.inputs)) {
            if usize::from(input) == rules.pivot {
                parts.push(Part {
                    samples: smallvec![pivot.item.clone()],
                    from: event_time,
                    to: event_time,
                    skew_ns: Some(0),
                    coverage: None,
                });
                continue;
            }
            let part = lane.pick(rule.ask, pivot.time);
            if part.samples.is_empty() {
                match rule.missing {
                    Missing::Emit => {}
                    Missing::Drop => dropped = dropped.or(Some(InputId(input))),
                    Missing::DeadLetter => dead = dead.or(Some(InputId(input))),
                }
            }
            parts.push(part);
        }
        let bundle = Bundle {
            stream: self.key.clone(),
            event_time,
            parts,
            first,
            opened_at: Timestamp::from_nanos(pivot.arrived),
            closed_at: Timestamp::from_nanos(now),
        };
        out.push(match (dead, dropped) {
            (Some(missing), _) => Event::DeadLetter { bundle, missing },
            (None, Some(missing)) => Event::Dropped { bundle, missing },
            (None, None) => Event::Bundle(bundle),
        });
        out.push(Event::Released { item: pivot.item, used: 1 });
        1
    }
}
