//! Monitors the clocks of live inputs: the offsets between them, and the drifts of their sources.
//!
//! The monitor follows some streams at a time, so that its cost and size stay small for any number of streams. It follows
//! one stream at a time for the offsets, a few of each input for the drifts, and others after them.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::drift::DriftEstimator;
use super::event::Stamp;
use super::offset::{OffsetEstimator, Outcome, Side, agree};
use super::policy::AlignPolicy;
use crate::position::InputId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

/// The most streams of an input whose drift is followed at a time.
const STREAMS: usize = 16;
/// The time for which one of them is followed while others wait for its place.
const TURN: Duration = Duration::from_secs(15 * 60);
/// A stream without samples for this long gives up its place.
const SILENT: Duration = Duration::from_secs(60);
/// The events of each side from which an offset is estimated. An estimate then takes some 3 milliseconds.
const EVENTS: usize = 128;
/// The shortest time before an offset is estimated, and the longest, after which the events so far are used.
const ROUND: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(300));
/// The time for which an offset counts that was not found again.
const KEPT: Duration = Duration::from_secs(20 * 60);
/// The interval at which drifts are reported.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The measured quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The drift furthest from 0 among the followed streams of the input, in parts per million: the real rate over
    /// the nominal one less 1.
    DriftPpm,
    /// The correction to add to the input's event times, beside any configured one, in seconds, by the stream that was
    /// followed last.
    OffsetSeconds,
}

/// A measurement of one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The input.
    pub input: InputId,
    /// The measured quantity.
    pub quantity: Quantity,
    /// Its value; none when it is no longer known.
    pub value: Option<f64>,
}

/// Watches the clocks of one shard's streams.
#[derive(Debug)]
pub struct ClockMonitor {
    /// The input that the others are compared with: the pivot, or the first.
    reference: usize,
    inputs: Vec<Watch>,
    /// The stream whose offsets are followed.
    stream: Option<StreamKey>,
    /// The previous one: another is preferred, if there is one.
    before: Option<StreamKey>,
    /// The beginning of the round, in wall time.
    since: Timestamp,
    /// The input whose offset is estimated next; beyond them all while the round lasts.
    next: usize,
    look_at: Timestamp,
}

#[derive(Debug)]
struct Watch {
    drifts: FxHashMap<StreamKey, FollowedSound>,
    /// No place is free before this, in wall time.
    full_until: Timestamp,
    offset: OffsetEstimator,
    progress: EventProgress,
    /// The time at which an offset was last reported, while it counts.
    found: Option<Timestamp>,
    drift_reported: bool,
}

#[derive(Debug)]
struct FollowedSound {
    estimator: DriftEstimator,
    since: Timestamp,
    last_arrival: Timestamp,
}

/// The progress of event time beside the wall clock.
#[derive(Clone, Copy, Debug, Default)]
struct EventProgress {
    events: usize,
    first: Option<(Timestamp, Timestamp)>,
    last: Option<(Timestamp, Timestamp)>,
}

impl ClockMonitor {
    /// A monitor without observations.
    pub fn new(policy: &AlignPolicy) -> Self {
        let watch = || Watch {
            drifts: FxHashMap::default(),
            full_until: Timestamp::MIN,
            offset: OffsetEstimator::with_window(EVENTS),
            progress: EventProgress::default(),
            found: None,
            drift_reported: false,
        };
        Self {
            reference: policy.pivot().map_or(0, InputId::index),
            inputs: policy.inputs.iter().map(|_| watch()).collect(),
            stream: None,
            before: None,
            since: Timestamp::MIN,
            next: usize::MAX,
            look_at: Timestamp::MIN,
        }
    }

    /// Takes a sample that the poll returned at `arrival`, in wall time. Constant time.
    pub fn observe(&mut self, stream: &StreamKey, input: InputId, stamp: Stamp, arrival: Timestamp) {
        let index = input.index();
        if !stamp.duration.is_zero()
            && let Some(watch) = self.inputs.get_mut(index)
        {
            watch.follow(stream, stamp, arrival);
        }
        if self.inputs.len() < 2 || self.next < self.inputs.len() {
            return;
        }
        if self.stream.is_none() && self.is_next(stream, arrival) {
            self.stream = Some(stream.clone());
            self.since = arrival;
        }
        if self.stream.as_ref() != Some(stream) {
            return;
        }
        let event_time = stamp.event_time;
        if let Some(watch) = self.inputs.get_mut(index) {
            watch.progress.add(event_time, arrival);
        }
        if index != self.reference {
            if let Some(watch) = self.inputs.get_mut(index) {
                watch.offset.observe(Side::Input, event_time, stamp.duration, Some(arrival));
            }
            return;
        }
        for (other, watch) in self.inputs.iter_mut().enumerate() {
            if other != index {
                watch.offset.observe(Side::Reference, event_time, stamp.duration, Some(arrival));
            }
        }
    }

    /// Reports the measurements since the last call. Call it about every second. Each call estimates at most one
    /// offset.
    pub fn report(&mut self, now: Timestamp) -> Vec<Reading> {
        let mut readings = Vec::new();
        if now >= self.look_at {
            self.look_at = now.after(LOOK_EVERY);
            for (input, watch) in ids(&mut self.inputs) {
                let drift = watch.drift(now);
                if drift.is_some() || watch.drift_reported {
                    readings.push(Reading { input, quantity: Quantity::DriftPpm, value: drift });
                }
                watch.drift_reported = drift.is_some();
                if watch.found.is_some_and(|found| now.since(found) > KEPT) {
                    watch.found = None;
                    readings.push(Reading { input, quantity: Quantity::OffsetSeconds, value: None });
                }
            }
        }
        if self.next >= self.inputs.len() && self.is_round_over(now) {
            self.next = 0;
        }
        if self.next < self.inputs.len() {
            readings.extend(self.estimate_next(now));
            self.next += 1;
            if self.next >= self.inputs.len() {
                self.begin_round();
            }
        }
        readings
    }

    fn estimate_next(&mut self, now: Timestamp) -> Option<Reading> {
        let reference = self.inputs.get(self.reference)?.progress;
        let is_reference = self.next == self.reference;
        let (input, watch) = ids(&mut self.inputs).nth(self.next).filter(|_| !is_reference)?;
        let value = watch.estimate(&reference)?;
        watch.found = Some(now);
        Some(Reading { input, quantity: Quantity::OffsetSeconds, value: Some(value) })
    }

    /// Returns true for the stream to follow now: another than before, unless none has come for a while.
    fn is_next(&self, stream: &StreamKey, now: Timestamp) -> bool {
        self.before.as_ref() != Some(stream) || now.since(self.since) > ROUND.0
    }

    fn is_round_over(&self, now: Timestamp) -> bool {
        let lasted = now.since(self.since);
        let is_full = || self.inputs.iter().all(|watch| watch.progress.events >= EVENTS);
        self.stream.is_some() && (lasted > ROUND.1 || (lasted > ROUND.0 && is_full()))
    }

    fn begin_round(&mut self) {
        for watch in &mut self.inputs {
            watch.offset = OffsetEstimator::with_window(EVENTS);
            watch.progress = EventProgress::default();
        }
        self.before = self.stream.take();
        // From now on the stream that was followed may come again after a while.
        self.since = self.since.after(ROUND.0);
        self.next = usize::MAX;
    }
}

impl Watch {
    fn follow(&mut self, stream: &StreamKey, stamp: Stamp, now: Timestamp) {
        if let Some(followed) = self.drifts.get_mut(stream) {
            followed.last_arrival = followed.last_arrival.max(now);
            followed.estimator.observe(stamp.event_time, stamp.duration);
            return;
        }
        if self.drifts.len() >= STREAMS {
            if now < self.full_until {
                return;
            }
            self.drifts.retain(|_, followed| !followed.is_over(now));
            let next = |followed: &FollowedSound| {
                followed.since.after(TURN).min(followed.last_arrival.after(SILENT))
            };
            let free = self.drifts.values().map(next).min().unwrap_or(now);
            // Limits this search, or each sample of the many streams without a place would repeat it.
            self.full_until = free.max(now.after(Duration::from_secs(1)));
            if self.drifts.len() >= STREAMS {
                return;
            }
        }
        let mut estimator = DriftEstimator::new();
        estimator.observe(stamp.event_time, stamp.duration);
        self.drifts.insert(stream.clone(), FollowedSound { estimator, since: now, last_arrival: now });
    }

    /// The drift that is furthest from 0.
    fn drift(&mut self, now: Timestamp) -> Option<f64> {
        self.drifts.retain(|_, followed| now.since(followed.last_arrival) <= SILENT);
        let drifts = self.drifts.values().filter_map(|followed| followed.estimator.estimate());
        drifts.map(|drift| drift.ppm).max_by(|one, other| one.abs().total_cmp(&other.abs()))
    }

    /// The offset in seconds, if it is clear.
    fn estimate(&self, reference: &EventProgress) -> Option<f64> {
        // While a backlog is read, arrivals do not show the transit times of samples.
        let by_arrivals = if self.progress.is_live() && reference.is_live() {
            self.offset.by_arrivals()
        } else {
            Outcome::Unclear
        };
        let (estimate, _) = agree(&self.offset.by_events(), &by_arrivals)?;
        Some(estimate.offset_ns as f64 / 1e9)
    }
}

impl FollowedSound {
    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.since) >= TURN || now.since(self.last_arrival) >= SILENT
    }
}

impl EventProgress {
    fn add(&mut self, event_time: Timestamp, arrival: Timestamp) {
        self.events += 1;
        self.first.get_or_insert((event_time, arrival));
        self.last = Some((event_time, arrival));
    }

    /// Returns true if event time advanced as the wall clock did, to within a tenth.
    fn is_live(&self) -> bool {
        let (Some(first), Some(last)) = (self.first, self.last) else { return false };
        let (events, wall) = (last.0.nanos_since(first.0), last.1.nanos_since(first.1));
        events.abs_diff(wall) <= wall.unsigned_abs() / 10
    }
}

fn ids(inputs: &mut [Watch]) -> impl Iterator<Item = (InputId, &mut Watch)> {
    (0_u16..).map(InputId).zip(inputs)
}

#[cfg(test)]
#[path = "monitor_tests.rs"]
mod tests;
