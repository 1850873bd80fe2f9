//! How far the clock of one input is off another's, estimated from the samples of both: a constant offset.
//!
//! Two ways, which fail in different ways. [`OffsetEstimator::by_events`] lays the event times of both inputs over each
//! other: it needs things that both have noticed, at irregular times, and is as precise as their stamps.
//! [`OffsetEstimator::by_arrivals`] compares how long samples were on their way: it needs arrival times, and is wrong by
//! what the quickest ways of the two inputs differ.

mod pattern;

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::{Timestamp, nanos};

/// How many event times of each side are kept unless told otherwise, the latest observed.
const WINDOW: usize = 4096;
/// How many pairs are looked at in one estimate: it bounds its time and memory (8 bytes a pair).
const PAIRS: usize = 1 << 19;
/// Fewer say nothing. Of the events that match, too, so many are needed, less what chance brings.
const ENOUGH: usize = 10;
/// The window is cut into so many parts, whose estimates by arrivals should agree.
const PARTS: usize = 4;
/// Below this an estimate is not named.
const CONFIDENT: f64 = 0.3;

/// Whose event is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The input whose clock is in question.
    Input,
    /// The one that it is compared with.
    Reference,
}

/// What came of an estimate.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// This one and no other.
    Found(Estimate),
    /// Other offsets fit as well.
    Ambiguous {
        /// The one nearest to zero.
        nearest: Estimate,
        /// How far those that fit lie apart, in nanoseconds, if evenly: the offset is known modulo that.
        period_ns: Option<u64>,
    },
    /// None stands out from chance, or the estimate is not steady.
    Unclear,
    /// There is too little to go by.
    TooFew {
        /// The events of the input.
        input: usize,
        /// The events of the reference.
        reference: usize,
    },
}

/// A clock offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// What to add to the event times of the input, in nanoseconds: above 0 when its clock is behind.
    pub offset_ns: i64,
    /// How far single events scatter about it, in nanoseconds: by events, the standard deviation estimated from the median
    /// absolute deviation (times 1.4826); by arrivals, the furthest that a quarter of the window is off.
    pub spread_ns: u64,
    /// How sure it is, 0 to 1. By events, 1 less the share of events that match at the next best offset over that at this
    /// one. By arrivals, 1 less the spread over how much the delays vary.
    pub confidence: f64,
    /// How many events it rests on: by events, those that match; by arrivals, those of the side that has fewer.
    pub events: usize,
}

/// Estimates the offset between two inputs of one stream from a window of their latest events.
///
/// What it keeps is bounded: 4096 events of each side unless told otherwise, 24 bytes each. Observing costs constant time; an estimate by
/// events sorts at most 2^19 differences.
#[derive(Clone, Debug)]
pub struct OffsetEstimator {
    input: Window,
    reference: Window,
    observed: u64,
    /// How many events of each side are kept.
    window: usize,
}

/// The latest events of one side, in the order in which they were observed.
#[derive(Clone, Debug, Default)]
struct Window {
    events: VecDeque<Seen>,
    /// Whether earlier ones had to go.
    full: bool,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    time: i64,
    /// From its end to its arrival; `i64::MAX` when that is not known.
    delay: i64,
    number: u64,
}

impl Default for OffsetEstimator {
    fn default() -> Self {
        Self::new()
    }
}

impl OffsetEstimator {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::with_window(WINDOW)
    }

    /// One that keeps so many events of each side, from 1 to 4096.
    pub fn with_window(events: usize) -> Self {
        let window = events.clamp(1, WINDOW);
        Self { input: Window::default(), reference: Window::default(), observed: 0, window }
    }

    /// Takes an event, in the order of arrival. `duration` counts where an arrival is known: what lasts is sent when it is
    /// over.
    pub fn observe(
        &mut self,
        side: Side,
        event_time: Timestamp,
        duration: Duration,
        arrival: Option<Timestamp>,
    ) {
        let time = event_time.as_nanos();
        let delay = arrival.map_or(i64::MAX, |arrival| {
            arrival.as_nanos().saturating_sub(time.saturating_add(nanos(duration)))
        });
        let window = match side {
            Side::Input => &mut self.input,
            Side::Reference => &mut self.reference,
        };
        if window.events.len() == self.window {
            window.events.pop_front();
            window.full = true;
        }
        window.events.push_back(Seen { time, delay, number: self.observed });
        self.observed += 1;
    }

    /// The offset at which most events of one side meet one of the other.
    ///
    /// The differences of all pairs of events pile up at the offset and lie about evenly elsewhere. Windows of many
    /// widths, each twice the last, are moved over them; the one whose count exceeds that of its surroundings by the most
    /// is the offset, measured with the likelihood ratio of the scan statistic (M. Kulldorff, "A spatial scan statistic",
    /// Communications in Statistics 26, 1997). So jitter need not be known, and events that only one side has do not
    /// matter as long as a quarter match. When another offset matches 70 % as many, it is ambiguous: two periodic series
    /// are, always. Offsets are sought at which at least half of the shorter series lies within the other.
    pub fn by_events(&self) -> Outcome {
        let (input, reference) = self.common();
        pattern::search(&input, &reference)
    }

    /// The difference of the least delays, from the end of an event to its arrival.
    ///
    /// A network only ever adds delay, so the least is the way itself (the minimum filter of NTP's clock filter, RFC 5905,
    /// section 10). What the ways of the two inputs differ goes into the estimate unseen.
    pub fn by_arrivals(&self) -> Outcome {
        let delays = |window: &Window| -> Vec<i64> {
            window.events.iter().map(|seen| seen.delay).filter(|delay| *delay < i64::MAX).collect()
        };
        let (input, reference) = (delays(&self.input), delays(&self.reference));
        let events = input.len().min(reference.len());
        let too_few = Outcome::TooFew { input: input.len(), reference: reference.len() };
        if events < PARTS * ENOUGH / 2 {
            return too_few;
        }
        let Some(offset_ns) = least_difference(&input, &reference) else { return too_few };
        let parts = |delays: &[i64]| delays.len().div_ceil(PARTS);
        let spread_ns = input
            .chunks(parts(&input))
            .zip(reference.chunks(parts(&reference)))
            .filter_map(|(input, reference)| least_difference(input, reference))
            .map(|part| part.abs_diff(offset_ns))
            .max()
            .unwrap_or(0);
        let variation = variation(input).max(variation(reference));
        let confidence = match (spread_ns, variation) {
            (0, _) => 1.0,
            (_, 0) => 0.0,
            (spread, variation) => (1.0 - spread as f64 / variation as f64).max(0.0),
        };
        if confidence < CONFIDENT {
            return Outcome::Unclear;
        }
        Outcome::Found(Estimate { offset_ns, spread_ns, confidence, events })
    }

    /// The event times of both sides, ascending, from when both windows have begun.
    fn common(&self) -> (Vec<i64>, Vec<i64>) {
        let begun = |window: &Window| match window.events.front() {
            Some(first) if window.full => first.number,
            _ => 0,
        };
        let since = begun(&self.input).max(begun(&self.reference));
        let since_then = |window: &Window| -> usize {
            window.events.len() - window.events.partition_point(|seen| seen.number < since)
        };
        let mut lengths = (since_then(&self.input), since_then(&self.reference));
        if lengths.0 < ENOUGH || lengths.1 < ENOUGH {
            // They were not observed side by side.
            lengths = (self.input.events.len(), self.reference.events.len());
        }
        let excess = (lengths.0 * lengths.1) as f64 / PAIRS as f64;
        let share = if excess > 1.0 { excess.sqrt().recip() } else { 1.0 };
        (self.input.latest(lengths.0, share), self.reference.latest(lengths.1, share))
    }
}

impl Window {
    /// The times of a share of the `length` events observed last, ascending.
    fn latest(&self, length: usize, share: f64) -> Vec<i64> {
        let length = (length as f64 * share) as usize;
        let skipped = self.events.len().saturating_sub(length);
        let mut times: Vec<i64> = self.events.iter().skip(skipped).map(|seen| seen.time).collect();
        times.sort_unstable();
        times
    }
}

fn least_difference(input: &[i64], reference: &[i64]) -> Option<i64> {
    Some(input.iter().min()?.saturating_sub(*reference.iter().min()?))
}

/// From the least to what nine in ten stay below.
fn variation(mut values: Vec<i64>) -> u64 {
    values.sort_unstable();
    let most = values.get(values.len().saturating_mul(9) / 10).copied();
    values.first().zip(most).map_or(0, |(least, most)| most.abs_diff(*least))
}

/// The median, of an even number the later of the two in the middle.
fn median(values: &mut [i64]) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// What both ways together say, and by which: events where they are clear, arrivals to tell apart what events leave
/// open, arrivals alone where events say nothing.
pub fn agree(by_events: &Outcome, by_arrivals: &Outcome) -> Option<(Estimate, Basis)> {
    match (by_events, by_arrivals) {
        (Outcome::Found(estimate), _) => Some((*estimate, Basis::Events)),
        (Outcome::Ambiguous { nearest, period_ns: Some(period_ns) }, Outcome::Found(rough))
            if rough.spread_ns < period_ns / 4 =>
        {
            let period = i64::try_from(*period_ns).unwrap_or(i64::MAX).max(1);
            let away = rough.offset_ns.saturating_sub(nearest.offset_ns);
            let periods = away.saturating_add(period / 2).div_euclid(period);
            let offset_ns = nearest.offset_ns.saturating_add(periods.saturating_mul(period));
            Some((Estimate { offset_ns, confidence: rough.confidence, ..*nearest }, Basis::Both))
        }
        (_, Outcome::Found(estimate)) => Some((*estimate, Basis::Arrivals)),
        _ => None,
    }
}

/// What an offset was told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The pattern of event times.
    Events,
    /// The delays of arrival.
    Arrivals,
    /// Event times, which fit at several offsets, of which arrivals chose one.
    Both,
}

/// One outcome for all streams, if they share the input's clock.
///
/// Found when at least as many streams have found one as are ambiguous: the median. Its spread counts how far the streams
/// lie apart, and its confidence is the median one, times the share of streams that agree with it within four spreads of
/// their own or a millisecond.
pub fn together(outcomes: &[Outcome]) -> Outcome {
    let mut found: Vec<Estimate> = Vec::new();
    let mut ambiguous: Vec<(Estimate, Option<u64>)> = Vec::new();
    let (mut input, mut reference, mut few) = (0, 0, 0);
    for outcome in outcomes {
        match outcome {
            Outcome::Found(estimate) => found.push(*estimate),
            Outcome::Ambiguous { nearest, period_ns } => ambiguous.push((*nearest, *period_ns)),
            Outcome::Unclear => {}
            Outcome::TooFew { input: ours, reference: theirs } => {
                few += 1;
                input += ours;
                reference += theirs;
            }
        }
    }
    if few == outcomes.len() {
        return Outcome::TooFew { input, reference };
    }
    if found.len() >= ambiguous.len() {
        return middle(&found).map_or(Outcome::Unclear, Outcome::Found);
    }
    let estimates: Vec<Estimate> = ambiguous.iter().map(|(estimate, _)| *estimate).collect();
    let mut periods: Vec<i64> =
        ambiguous.iter().filter_map(|(_, period)| i64::try_from((*period)?).ok()).collect();
    let period_ns = median(&mut periods).and_then(|period| u64::try_from(period).ok());
    middle(&estimates).map_or(Outcome::Unclear, |nearest| Outcome::Ambiguous { nearest, period_ns })
}

/// The estimate in the middle of several.
fn middle(estimates: &[Estimate]) -> Option<Estimate> {
    let of = |pick: &dyn Fn(&Estimate) -> i64| {
        let mut values: Vec<i64> = estimates.iter().map(pick).collect();
        median(&mut values)
    };
    let offset_ns = of(&|estimate| estimate.offset_ns)?;
    let away = of(&|estimate| estimate.offset_ns.saturating_sub(offset_ns).saturating_abs())?;
    let spread = of(&|estimate| i64::try_from(estimate.spread_ns).unwrap_or(i64::MAX))?;
    // In parts of a million, so that one function finds all medians.
    let confidence = of(&|estimate| (estimate.confidence * 1e6) as i64)?;
    let agreeing = estimates.iter().filter(|estimate| {
        estimate.offset_ns.abs_diff(offset_ns) <= estimate.spread_ns.saturating_mul(4).max(1_000_000)
    });
    Some(Estimate {
        offset_ns,
        spread_ns: spread.max((away as f64 * 1.4826) as i64).unsigned_abs(),
        confidence: confidence as f64 / 1e6 * agreeing.count() as f64 / estimates.len() as f64,
        events: estimates.iter().map(|estimate| estimate.events).sum(),
    })
}
