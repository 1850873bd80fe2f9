//! Coverage, by hand; times in microseconds.

use super::*;

const MS: i64 = 1_000;

/// The share of `[from, to)` that is covered, and true if it is whole.
fn share(samples: &[(i64, i64)], from: i64, to: i64, drift: OnDrift) -> (Option<f64>, bool) {
    let slack = Slack { drift, most: i64::MAX };
    let samples = || samples.iter().map(|(time, lasts)| (time * 1_000, (time + lasts) * 1_000));
    let (from, to) = (from * 1_000, to * 1_000);
    (covering(samples(), from, to, slack).1, is_covered(samples(), (from, from, to), slack))
}

/// Chunks one after another, each at the time of its number.
fn chunks(count: i64, lasts: i64, time: impl Fn(i64) -> i64) -> Vec<(i64, i64)> {
    (0..count).map(|n| (time(n), lasts)).collect()
}

#[test]
fn sound_with_stamps_in_whole_milliseconds_is_complete() {
    // AAC: 1024 frames at 44.1 kHz.
    let sound = chunks(40, 23_219, |n| n * 23_220 / MS * MS);
    assert!(sound.windows(2).any(|pair| pair[1].0 - pair[0].0 > 23_219), "there are gaps");
    for (from, to) in [(0, 928_000), (100_000, 612_000), (101_000, 110_000)] {
        assert_eq!(share(&sound, from, to, OnDrift::Ignore), (Some(1.0), true), "{from} to {to}");
    }
}

#[test]
fn a_gap_longer_than_the_slack_is_a_gap() {
    let at = |begins| share(&[(0, 20_000), (begins, 20_000)], 0, 40_000, OnDrift::Ignore);
    assert_eq!(at(21_000), (Some(1.0), true));
    assert_eq!(at(21_001), (Some(0.974_975), false));
    let at = |begins| share(&[(0, 20_000), (begins, 20_000)], 0, 40_000, OnDrift::Resample);
    assert_eq!(at(21_400), (Some(1.0), true), "a millisecond and 2 %");
    assert_eq!(at(21_401), (Some(0.964_975), false));
}

#[test]
fn a_drift_that_is_corrected_is_complete() {
    // Chunks of 10 s that are too short by 150 ppm.
    let sound = chunks(6, 10_000_000, |n| n * 10_001_500);
    assert_eq!(share(&sound, 0, 60_000_000, OnDrift::Resample), (Some(1.0), true));
    let (covered, whole) = share(&sound, 0, 60_000_000, OnDrift::Ignore);
    assert!(covered.is_some_and(|share| (share - (1.0 - 125e-6)).abs() < 1e-9) && !whole, "{covered:?}");
}

#[test]
fn a_gap_at_the_ends_of_a_span_is_never_covered() {
    let sound = [(0, 20_000), (20_500, 20_000), (41_000, 20_000)];
    assert_eq!(share(&sound, 20_250, 40_500, OnDrift::Ignore), (Some(20_000.0 / 20_250.0), false));
    assert_eq!(share(&sound, 20_500, 40_750, OnDrift::Ignore), (Some(20_000.0 / 20_250.0), false));
    assert_eq!(share(&sound, 20_000, 41_000, OnDrift::Ignore), (Some(20_000.0 / 21_000.0), false));
    assert_eq!(share(&sound, 19_999, 41_001, OnDrift::Ignore), (Some(1.0), true));
}

#[test]
fn a_sample_between_two_never_reduces_the_coverage() {
    // The gap of 15 ms after a second counts as none, and so do its pieces, though 2 % of the sample between is less.
    let (before, after) = ((0, 1_000_000), (1_015_000, 20_000));
    for sound in [vec![before, after], vec![before, (1_006_000, 1_500), after]] {
        assert_eq!(share(&sound, 0, 1_035_000, OnDrift::Resample), (Some(1.0), true));
    }
}

#[test]
fn a_gap_that_fits_another_chunk_is_never_covered() {
    let at = |begins| share(&[(0, 500), (begins, 500)], 0, begins + 500, OnDrift::Ignore).1;
    assert!(at(999) && !at(1_000));
}

#[test]
fn the_rest_of_a_span_may_begin_within_the_slack() {
    let samples = [(0, 20_000_000), (20_500_000, 40_000_000)];
    let slack = Slack { drift: OnDrift::Ignore, most: i64::MAX };
    let left = |begin| is_covered(samples.into_iter(), (begin, 20_200_000, 40_000_000), slack);
    assert!(left(0) && left(19_999_999) && !left(20_000_000));
}
