//! The promises of the clock offset estimate: found through jitter, drops and extras; never reported when it cannot
//! be known.

use std::time::Duration;

use proptest::prelude::*;

use super::offset::{Basis, Estimate, OffsetEstimator, Outcome, Side, agree, together};
use crate::random::SplitMix64;
use crate::time::Timestamp;

const MS: i64 = 1_000_000;
const NOON: i64 = 1_772_366_400_000_000_000;

/// Numbers that look random and are the same each time.
struct Random(SplitMix64);

impl Random {
    fn below(&mut self, limit: i64) -> i64 {
        (self.0.next() % limit.unsigned_abs()) as i64
    }

    /// Times with exponential gaps of a mean, as of independent events.
    fn happenings(&mut self, count: usize, mean: i64) -> Vec<i64> {
        let mut time = NOON;
        let next = |_| {
            let uniform = (self.below(1 << 30) + 1) as f64 / f64::from(1 << 30);
            time += (-uniform.ln() * mean as f64) as i64;
            time
        };
        (0..count).map(next).collect()
    }
}

fn by_events(input: &[i64], reference: &[i64]) -> Outcome {
    let mut estimator = OffsetEstimator::new();
    let mut all: Vec<(i64, Side)> = input.iter().map(|time| (*time, Side::Input)).collect();
    all.extend(reference.iter().map(|time| (*time, Side::Reference)));
    all.sort_by_key(|(time, _)| *time);
    for (time, side) in all {
        estimator.observe(side, Timestamp::from_nanos(time), Duration::ZERO, None);
    }
    estimator.by_events()
}

fn found(outcome: Outcome) -> Estimate {
    match outcome {
        Outcome::Found(estimate) => estimate,
        other => panic!("{other:?}"),
    }
}

fn periodic(period: i64, offset: i64, count: i64) -> Vec<i64> {
    (0..count).map(|n| NOON + offset + n * period).collect()
}

#[test]
fn periodic_series_are_ambiguous_and_name_the_nearest_to_zero() {
    // 25 frames and 50 chunks a second: the picture could be off by any number of chunks.
    let outcome = by_events(&periodic(40 * MS, 0, 300), &periodic(20 * MS, 1_007 * MS, 600));
    let Outcome::Ambiguous { nearest, period_ns } = outcome else { panic!("{outcome:?}") };
    assert_eq!((nearest.offset_ns, period_ns), (7 * MS, Some(20 * MS as u64)));
    assert!(nearest.confidence < 0.3);
}

#[test]
fn a_periodic_series_stays_ambiguous_with_jitter_and_losses() {
    let mut random = Random(SplitMix64::new(3));
    let mut series = |period, offset, count| -> Vec<i64> {
        let times = periodic(period, offset, count);
        let times = times.into_iter().filter_map(|time| {
            let jitter = random.below(4 * MS) - 2 * MS;
            (random.below(10) > 0).then_some(time + jitter)
        });
        times.collect()
    };
    let (frames, chunks) = (series(40 * MS, 0, 400), series(20 * MS, -6 * MS, 800));
    let outcome = by_events(&frames, &chunks);
    let Outcome::Ambiguous { nearest, period_ns: Some(period) } = outcome else { panic!("{outcome:?}") };
    assert!((nearest.offset_ns + 6 * MS).abs() < MS, "{nearest:?}");
    assert!(period.abs_diff(20 * MS as u64) < MS as u64, "{period}");
}

#[test]
fn too_few_events_are_refused() {
    let nine = Random(SplitMix64::new(1)).happenings(9, 1_000 * MS);
    assert_eq!(by_events(&nine, &nine), Outcome::TooFew { input: 9, reference: 9 });
    assert_eq!(by_events(&[], &nine), Outcome::TooFew { input: 0, reference: 9 });
    assert_eq!(OffsetEstimator::new().by_arrivals(), Outcome::TooFew { input: 0, reference: 0 });
}

#[test]
fn unrelated_series_give_no_offset() {
    for seed in 0..40 {
        let mut random = Random(SplitMix64::new(seed));
        for count in [12, 60, 400] {
            let (one, other) = (random.happenings(count, 300 * MS), random.happenings(count, 300 * MS));
            let outcome = by_events(&one, &other);
            assert!(!matches!(outcome, Outcome::Found(_)), "seed {seed}, {count}: {outcome:?}");
        }
        // On a grid of milliseconds, as Kafka stamps.
        let mut coarse = |count| -> Vec<i64> {
            random.happenings(count, 30 * MS).iter().map(|time| time / MS * MS).collect()
        };
        let (one, other) = (coarse(400), coarse(400));
        let outcome = by_events(&one, &other);
        assert!(!matches!(outcome, Outcome::Found(_)), "seed {seed}: {outcome:?}");
    }
}

#[test]
fn an_offset_longer_than_gaps_and_the_other_window_is_found() {
    // An hour off, over ten minutes, after the window has turned over.
    let times = Random(SplitMix64::new(5)).happenings(9_000, 70 * MS);
    let hour = 3_600_000 * MS;
    let mut estimator = OffsetEstimator::new();
    for (place, time) in times.iter().enumerate() {
        estimator.observe(Side::Input, Timestamp::from_nanos(time - hour), Duration::ZERO, None);
        // The other notices one in thirty.
        if place % 30 == 0 {
            estimator.observe(Side::Reference, Timestamp::from_nanos(*time), Duration::ZERO, None);
        }
    }
    let estimate = found(estimator.by_events());
    assert_eq!((estimate.offset_ns, estimate.spread_ns), (hour, 0));
    assert!(estimate.confidence > 0.7, "{estimate:?}");
}

#[test]
fn inputs_observed_one_after_the_other_are_still_compared() {
    let times = Random(SplitMix64::new(6)).happenings(5_000, 70 * MS);
    let mut estimator = OffsetEstimator::new();
    for (side, offset) in [(Side::Input, 0), (Side::Reference, 12 * MS)] {
        for time in &times {
            estimator.observe(side, Timestamp::from_nanos(time + offset), Duration::ZERO, None);
        }
    }
    assert_eq!(found(estimator.by_events()).offset_ns, 12 * MS);
}

#[test]
fn extreme_event_times_are_survived() {
    let mut times = vec![i64::MIN, i64::MIN, i64::MAX, i64::MAX, 0];
    times.extend(periodic(MS, 0, 20));
    times.sort_unstable();
    let _ = by_events(&times, &times);
    let same = vec![NOON; 50];
    let _ = by_events(&same, &same);
}

/// The estimate after a sample every 100 ms on each side, with these delays.
fn by_arrivals(mut delay: impl FnMut(Side, i64) -> i64, clock: i64, duration: Duration) -> Outcome {
    let mut estimator = OffsetEstimator::new();
    for n in 0..200 {
        for side in [Side::Input, Side::Reference] {
            let truly = NOON + n * 100 * MS;
            let emitted = if side == Side::Input { truly - clock } else { truly };
            let lasts = if side == Side::Input { duration } else { Duration::ZERO };
            let arrival = truly + lasts.as_nanos() as i64 + delay(side, n);
            estimator.observe(
                side,
                Timestamp::from_nanos(emitted),
                lasts,
                Some(Timestamp::from_nanos(arrival)),
            );
        }
    }
    estimator.by_arrivals()
}

#[test]
fn arrivals_give_the_offset_for_any_delays_above_the_least() {
    let mut random = Random(SplitMix64::new(8));
    let mut delay = |side, _| {
        let queue = random.below(1_000);
        5 * MS + queue * queue * if side == Side::Input { 50 } else { 400 }
    };
    let estimate = found(by_arrivals(&mut delay, 37 * MS, Duration::from_millis(20)));
    assert!((estimate.offset_ns - 37 * MS).abs() < MS, "{estimate:?}");
    assert!(estimate.spread_ns < 5 * MS as u64 && estimate.confidence > 0.9, "{estimate:?}");
    assert_eq!(estimate.events, 200);
}

#[test]
fn a_clock_that_drifts_is_not_given_as_an_offset() {
    let outcome = by_arrivals(|side, n| if side == Side::Input { n * 2 * MS } else { 0 }, 0, Duration::ZERO);
    assert_eq!(outcome, Outcome::Unclear);
}

#[test]
fn arrivals_choose_among_offsets_that_events_leave_open() {
    let estimate = |offset_ns, spread_ns| Estimate { offset_ns, spread_ns, confidence: 0.1, events: 100 };
    let events = Outcome::Ambiguous { nearest: estimate(-3 * MS, 100), period_ns: Some(40 * MS as u64) };
    let emitted =
        |rough| agree(&events, &Outcome::Found(rough)).map(|(estimate, basis)| (estimate.offset_ns, basis));
    assert_eq!(emitted(estimate(120 * MS, 5)), Some((117 * MS, Basis::Both)));
    assert_eq!(emitted(estimate(-82 * MS, 5)), Some((-83 * MS, Basis::Both)));
    // Arrivals that scatter as much as the period choose nothing.
    assert_eq!(emitted(estimate(120 * MS, 15 * MS as u64)), Some((120 * MS, Basis::Arrivals)));
    assert_eq!(agree(&events, &Outcome::Unclear), None);
}

#[test]
fn streams_combine_by_their_median_unless_they_disagree() {
    let at =
        |offset_ns| Outcome::Found(Estimate { offset_ns, spread_ns: 1_000, confidence: 0.9, events: 50 });
    let all = found(together(&[at(10 * MS), at(10 * MS + 500), at(10 * MS + 900), Outcome::Unclear]));
    assert_eq!((all.offset_ns, all.events), (10 * MS + 500, 150));
    assert!((all.confidence - 0.9).abs() < 1e-6, "{all:?}");
    let torn = found(together(&[at(-80 * MS), at(10 * MS), at(90 * MS)]));
    assert!((torn.confidence - 0.3).abs() < 1e-6 && torn.spread_ns > 50 * MS as u64, "{torn:?}");
    let few = Outcome::TooFew { input: 2, reference: 3 };
    assert_eq!(together(&[few.clone(), few]), Outcome::TooFew { input: 4, reference: 6 });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_known_offset_is_found_through_jitter_drops_and_extras(
        seed in any::<u64>(),
        count in 60_usize..400,
        mean in 100_i64..3_000,
        offset in -20_000_i64..20_000,
        jitter in 1_i64..8,
        dropped in 0_i64..40,
        extra in 0_usize..40,
    ) {
        let mut random = Random(SplitMix64::new(seed));
        let truth = random.happenings(count, mean * MS);
        let span = truth[count - 1] - truth[0];
        let offset = (offset * MS).clamp(-span / 4, span / 4);
        let mut seen = |shift: i64| {
            let mut times = Vec::new();
            for time in &truth {
                let noise = random.below(jitter * MS) - jitter * MS / 2;
                if random.below(100) >= dropped {
                    times.push(time + shift + noise);
                }
            }
            for _ in 0..count * extra / 100 {
                times.push(truth[0] + shift + random.below(span));
            }
            times.sort_unstable();
            times
        };
        let (input, reference) = (seen(-offset), seen(0));
        let estimate = match by_events(&input, &reference) {
            // A few common events among many others may not stand out.
            Outcome::Unclear if count as i64 * (100 - dropped).pow(2) < 80 * 10_000 => return Ok(()),
            outcome => found(outcome),
        };
        prop_assert!((estimate.offset_ns - offset).abs() <= jitter * MS / 2, "{estimate:?}, truly {offset}");
        prop_assert!(estimate.spread_ns <= (jitter * MS) as u64, "{estimate:?}");
    }
}

#[test]
fn clocks_too_far_apart_for_an_integer_have_no_offset() {
    let far = 9_200_000_000_000_000_000;
    let input: Vec<i64> = (0..12).map(|n| -far + n * 1_000_001).collect();
    let reference: Vec<i64> = (0..12).map(|n| far + n * 1_000_001).collect();
    for (one, other) in [(&input, &reference), (&reference, &input)] {
        assert!(!matches!(by_events(one, other), Outcome::Found(_)));
    }
}

proptest! {
    #[test]
    fn an_estimate_returns_for_any_event_time(
        events in proptest::collection::vec(
            (
                any::<bool>(),
                prop_oneof![
                    any::<i64>(),
                    (0..50_i64).prop_map(|n| i64::MIN + n * 1_000),
                    (0..50_i64).prop_map(|n| i64::MAX - n * 1_000),
                    -1_000_000..1_000_000_i64,
                ],
                any::<i64>(),
            ),
            0..120,
        ),
    ) {
        let mut estimator = OffsetEstimator::new();
        for (is_input, time, arrival) in events {
            let side = if is_input { Side::Input } else { Side::Reference };
            let arrival = Some(Timestamp::from_nanos(arrival));
            estimator.observe(side, Timestamp::from_nanos(time), Duration::from_nanos(7), arrival);
        }
        let outcomes = [estimator.by_events(), estimator.by_arrivals()];
        agree(&outcomes[0], &outcomes[1]);
        together(&outcomes);
    }
}
