//! The offset between the clocks of two inputs, estimated from the samples of both. It is taken to be constant.
//!
//! There are two ways, which fail in different ways. [`OffsetEstimator::by_events`] matches the event times of both inputs:
//! it needs events that both have noticed, at irregular times, and is as precise as their stamps.
//! [`OffsetEstimator::by_arrivals`] compares the transit times of samples: it needs arrival times, and its error is the
//! difference between the shortest transit times of the two inputs.

mod pattern;

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::{Timestamp, nanos};

/// The default number of event times that are kept of each side, the latest observed.
const WINDOW: usize = 4096;
/// The most pairs compared in one estimate: it bounds time and memory (8 bytes a pair).
const PAIRS: usize = 1 << 19;
/// The least number of events. An estimate also needs this many matching events beyond those by chance.
const ENOUGH: usize = 10;
/// The number of parts of the window whose estimates by arrivals should agree.
const PARTS: usize = 4;
/// The least confidence at which an estimate is reported.
const CONFIDENT: f64 = 0.3;

/// The input whose event is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The input whose clock is in question.
    Input,
    /// The input that it is compared with.
    Reference,
}

/// The outcome of an estimate.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// One offset stands out.
    Found(Estimate),
    /// Other offsets fit as well.
    Ambiguous {
        /// The one nearest to zero.
        nearest: Estimate,
        /// The distance between fitting offsets, in nanoseconds, if they are evenly spaced: the offset is known modulo that.
        period_ns: Option<u64>,
    },
    /// None stands out from chance, or the estimate is not steady.
    Unclear,
    /// There are too few events.
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
    /// The correction to add to the event times of the input, in nanoseconds: above 0 when its clock is behind.
    pub offset_ns: i64,
    /// The scatter of single events about it, in nanoseconds. By events, the standard deviation estimated from the median
    /// absolute deviation (times 1.4826); by arrivals, the largest difference of a quarter of the window.
    pub spread_ns: u64,
    /// The confidence, 0 to 1. By events, 1 less the share of events that match at the next best offset over that at this
    /// one. By arrivals, 1 less the spread over the variation of the delays.
    pub confidence: f64,
    /// The number of events it rests on: by events, those that match; by arrivals, those of the side that has fewer.
    pub events: usize,
}

/// Estimates the offset between two inputs of one stream from a window of their latest events.
///
/// It keeps a bounded number of events of each side, 4096 by default, 24 bytes each. Observing takes constant time; an
/// estimate by events sorts at most 2^19 differences.
#[derive(Clone, Debug)]
pub struct OffsetEstimator {
    input: RecentEvents,
    reference: RecentEvents,
    observed: u64,
    /// The number of events that are kept of each side.
    window: usize,
}

/// The latest events of one side, in the order in which they were observed.
#[derive(Clone, Debug, Default)]
struct RecentEvents {
    events: VecDeque<ObservedEvent>,
    /// Set if earlier ones were dropped.
    full: bool,
}

#[derive(Clone, Copy, Debug)]
struct ObservedEvent {
    time: i64,
    /// The time from its end to its arrival; `i64::MAX` when that is not known.
    delay: i64,
    number: u64,
}

impl Default for OffsetEstimator {
    fn default() -> Self {
        Self::new()
    }
}

impl OffsetEstimator {
    /// An estimator without observations.
    pub fn new() -> Self {
        Self::with_window(WINDOW)
    }

    /// An estimator that keeps this number of events of each side, from 1 to 4096.
    pub fn with_window(events: usize) -> Self {
        let window = events.clamp(1, WINDOW);
        Self { input: RecentEvents::default(), reference: RecentEvents::default(), observed: 0, window }
    }

    /// Takes an event, in the order of arrival. `duration` counts where an arrival is known: a sample that lasts is sent
    /// at its end.
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
        window.events.push_back(ObservedEvent { time, delay, number: self.observed });
        self.observed += 1;
    }

    /// The offset at which most events of one side meet one of the other.
    ///
    /// The differences of all pairs of events pile up at the offset and are about evenly spread elsewhere. The search moves
    /// windows of many widths, each twice the last, over them. The window whose count exceeds that of its surroundings by
    /// the most is the offset, measured with the likelihood ratio of the scan statistic (M. Kulldorff, "A spatial scan
    /// statistic", Communications in Statistics 26, 1997). So jitter need not be known, and events that only one side has do not
    /// matter while a quarter match.
    ///
    /// When another offset matches 70 % as many, it is ambiguous: two periodic series always are. The search is limited to
    /// offsets at which at least half of the shorter series lies within the other.
    pub fn by_events(&self) -> Outcome {
        let (input, reference) = self.common();
        pattern::search(&input, &reference)
    }

    /// The difference of the least delays, from the end of an event to its arrival.
    ///
    /// A network only ever adds delay, so the least is the transit time itself (the minimum filter of NTP's clock filter,
    /// RFC 5905, section 10). A difference between the transit times of the two inputs goes into the estimate unseen.
    pub fn by_arrivals(&self) -> Outcome {
        let delays = |window: &RecentEvents| -> Vec<i64> {
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
        let begun = |window: &RecentEvents| match window.events.front() {
            Some(first) if window.full => first.number,
            _ => 0,
        };
        let since = begun(&self.input).max(begun(&self.reference));
        let since_then = |window: &RecentEvents| -> usize {
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

impl RecentEvents {
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

/// The distance from the least to the ninth decile.
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

/// Combines both ways, and says which of them the result rests on. Events are used where they are clear. Arrivals decide
/// between several offsets that events leave open, and are used alone where events give none.
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

/// The basis of an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The pattern of event times.
    Events,
    /// The delays of arrival.
    Arrivals,
    /// Event times, which fit at several offsets, of which arrivals chose one.
    Both,
}

/// Combines the outcomes of all streams, if they share the input's clock.
///
/// The median is found if at least as many streams have found an offset as are ambiguous. Its spread includes the distance
/// between the streams. Its confidence is the median one, times the share of streams that agree with it within four
/// spreads of their own or a millisecond.
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
