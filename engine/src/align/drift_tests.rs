//! The drift estimate, on chunks of sources with a known rate and jitter.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use proptest::prelude::*;

use super::*;

const BASE: i64 = 1_700_000_000_123_456_789;
const MILLI: i64 = 1_000_000;

/// A source whose clock and transit times are known.
#[derive(Clone, Debug)]
struct Source {
    /// The real rate over the nominal one less 1, in parts per million.
    ppm: f64,
    /// Nominal length of a chunk, in milliseconds.
    chunk: i64,
    jitter: Jitter,
    /// The resolution of the stamps.
    grain: i64,
    /// Lost chunks in a thousand.
    lost: u64,
    repeated: u64,
    /// The number of chunks by which one may come too late.
    disorder: u64,
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
enum Jitter {
    None,
    /// To both sides, in nanoseconds.
    Even(i64),
    /// Stamped too late, by this on average.
    Late(i64),
}

/// Knuth's linear congruential generator, the upper half.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as f64 / (1_u64 << 32) as f64
    }

    fn below(&mut self, most: u64) -> u64 {
        (self.roll() * most as f64) as u64
    }
}

impl Source {
    fn steady(ppm: f64) -> Self {
        Self { ppm, chunk: 20, jitter: Jitter::None, grain: 1, lost: 0, repeated: 0, disorder: 0, seed: 1 }
    }

    fn length(&self) -> Duration {
        Duration::from_millis(self.chunk as u64)
    }

    /// The event times of this number of seconds, in the order of arrival.
    fn times(&self, seconds: i64) -> Vec<i64> {
        let mut dice = Dice(self.seed);
        let mut sent: Vec<(u64, i64)> = Vec::new();
        for index in 0..(seconds * 1_000 / self.chunk) {
            let exact = (index * self.chunk * MILLI) as f64 / (1.0 + self.ppm / 1e6);
            let jitter = match self.jitter {
                Jitter::None => 0.0,
                Jitter::Even(most) => (dice.roll() * 2.0 - 1.0) * most as f64,
                Jitter::Late(mean) => -(1.0 - dice.roll()).ln() * mean as f64,
            };
            let time = BASE + (exact + jitter) as i64;
            let time = time - time.rem_euclid(self.grain);
            if dice.below(1_000) < self.lost {
                continue;
            }
            let place = index as u64 + dice.below(self.disorder + 1);
            sent.push((place, time));
            if dice.below(1_000) < self.repeated {
                sent.push((place + 1, time));
            }
        }
        sent.sort_by_key(|(place, _)| *place);
        sent.into_iter().map(|(_, time)| time).collect()
    }

    fn estimate(&self, seconds: i64) -> Option<Drift> {
        let mut estimator = DriftEstimator::new();
        for time in self.times(seconds) {
            estimator.observe(Timestamp::from_nanos(time), self.length());
        }
        estimator.estimate()
    }
}

fn sources() -> impl Strategy<Value = Source> {
    let ppm = prop_oneof![4 => -250.0..250.0, 1 => -10_000.0..10_000.0, 1 => Just(0.0)];
    let chunk = prop::sample::select(vec![10_i64, 20, 32, 100, 250]);
    let jitter = prop_oneof![
        Just(Jitter::None),
        (1_000_i64..2_000_000).prop_map(Jitter::Even),
        (1_000_i64..500_000).prop_map(Jitter::Late),
    ];
    let grain = prop::sample::select(vec![1, 1_000, MILLI]);
    (ppm, chunk, jitter, grain, 0_u64..50, 0_u64..50, 0_u64..5, any::<u64>()).prop_map(
        |(ppm, chunk, jitter, grain, lost, repeated, disorder, seed)| Source {
            ppm,
            chunk,
            jitter,
            grain,
            lost,
            repeated,
            disorder,
            seed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Stamps in milliseconds jitter by up to two more, and chunks are lost, repeated and out of order. One in a
    /// thousand may be off by more than is stated; none was by half as much again.
    #[test]
    fn a_reported_drift_is_right_to_within_its_error(source in sources(), seconds in 8_i64..700) {
        if let Some(drift) = source.estimate(seconds) {
            prop_assert!(drift.is_sure());
            prop_assert!((drift.ppm - source.ppm).abs() <= 1.5 * drift.error_ppm, "{drift:?}");
        }
    }

    /// The jitter stays well below a quarter of a chunk.
    #[test]
    fn ten_minutes_are_enough_for_an_estimate(source in sources().prop_filter("clear", |source| source.chunk >= 20)) {
        prop_assert!(source.estimate(600).is_some());
    }
}

#[test]
fn the_sign_of_the_drift_is_that_of_the_rate() {
    let slow = Source::steady(-100.0).estimate(60).expect("sure");
    assert!((slow.ppm + 100.0).abs() < 0.1, "{slow:?}");
    let quick = Source::steady(150.0).estimate(60).expect("sure");
    assert!((quick.ppm - 150.0).abs() < 0.1, "{quick:?}");
}

#[test]
fn a_drift_is_reported_only_when_it_is_sure() {
    assert_eq!(Source::steady(100.0).estimate(8), None, "too few blocks");
    assert!(Source::steady(100.0).estimate(15).is_some());
    let hidden = Source { grain: MILLI, ..Source::steady(50.0) };
    assert_eq!(
        hidden.estimate(15),
        None,
        "less than a millisecond of drift, in stamps of whole milliseconds"
    );
    assert!(hidden.estimate(180).is_some());
    let shaky = Source { jitter: Jitter::Even(4 * MILLI), ..Source::steady(50.0) };
    assert_eq!(shaky.estimate(15), None, "jitter of a fifth of a chunk");
    assert!(shaky.estimate(300).is_some());
}

#[test]
fn jitter_that_hides_the_places_of_chunks_gives_no_estimate() {
    for (most, seed) in (8..60).flat_map(|most| (0..4).map(move |seed| (most, seed))) {
        let source = Source { jitter: Jitter::Even(most * MILLI), seed, ..Source::steady(200.0) };
        assert_eq!(source.estimate(600), None, "{most} ms");
    }
}

#[test]
fn a_clock_that_steps_and_a_source_that_pauses_change_nothing() {
    let source = Source { jitter: Jitter::Even(MILLI / 2), ..Source::steady(80.0) };
    let mut estimator = DriftEstimator::new();
    let hour = 3_600_000 * MILLI;
    for (step, seed) in [(0, 1), (-hour, 2), (hour, 3), (hour + 130_007 * MILLI, 4)] {
        let source = Source { seed, ..source.clone() };
        for time in source.times(100) {
            estimator.observe(Timestamp::from_nanos(time + step), source.length());
        }
    }
    let drift = estimator.estimate().expect("sure");
    assert!((drift.ppm - 80.0).abs() <= drift.error_ppm, "{drift:?}");
    assert!(drift.over < Duration::from_secs(110), "no longer than between two steps: {drift:?}");
}

#[test]
fn the_estimator_goes_on_after_a_step() {
    let source = Source::steady(80.0);
    let mut estimator = DriftEstimator::new();
    for (step, seconds) in [(0, 5), (-86_400_000 * MILLI, 60)] {
        for time in source.times(seconds) {
            estimator.observe(Timestamp::from_nanos(time + step), source.length());
        }
    }
    let drift = estimator.estimate().expect("sure");
    assert!((drift.ppm - 80.0).abs() < 0.1, "{drift:?}");
}

#[test]
fn chunks_of_changing_lengths_give_an_estimate_despite_losses() {
    for lost in [0, 5] {
        let mut estimator = DriftEstimator::new();
        let (mut dice, mut exact) = (Dice(5), 0.0);
        for _ in 0..10_000 {
            let length = (20 + dice.below(40) as i64) * MILLI;
            if dice.below(1_000) >= lost {
                let time = Timestamp::from_nanos(BASE + exact as i64);
                estimator.observe(time, Duration::from_nanos(length as u64));
            }
            exact += length as f64 / (1.0 - 120e-6);
        }
        let drift = estimator.estimate().expect("sure");
        assert!((drift.ppm + 120.0).abs() < 0.5, "{drift:?}");
    }
}

/// A source that is cut where it falls silent has no rate that its times could show.
#[test]
fn utterances_between_silences_give_no_estimate() {
    let mut estimator = DriftEstimator::new();
    let (mut dice, mut time) = (Dice(9), BASE);
    for _ in 0..2_000 {
        let length = (500 + dice.below(3_000) as i64) * MILLI;
        estimator.observe(Timestamp::from_nanos(time), Duration::from_nanos(length as u64));
        time += length + (200 + dice.below(2_000) as i64) * MILLI;
    }
    assert_eq!(estimator.estimate(), None);
}

#[test]
fn a_crystal_that_changes_is_followed_within_minutes() {
    let mut estimator = DriftEstimator::new();
    let mut from = BASE;
    for ppm in [50.0, 80.0] {
        let source = Source::steady(ppm);
        let times = source.times(1_200);
        let first = times.first().copied().unwrap_or(0);
        for time in &times {
            estimator.observe(Timestamp::from_nanos(from + time - first), source.length());
        }
        from += times.last().copied().unwrap_or(0) - first + 20 * MILLI;
        let drift = estimator.estimate().expect("sure");
        assert!((drift.ppm - ppm).abs() < 0.5, "{drift:?}");
    }
}

#[test]
fn the_estimator_keeps_bounded_memory() {
    let mut estimator = DriftEstimator::new();
    let source = Source { lost: 30, jitter: Jitter::Late(2 * MILLI), ..Source::steady(-30.0) };
    for time in source.times(4_000) {
        estimator.observe(Timestamp::from_nanos(time), source.length());
        assert!(estimator.blocks.len() < BLOCKS);
    }
}

#[test]
fn times_at_the_ends_of_time_do_no_harm() {
    let mut estimator = DriftEstimator::new();
    for time in [i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN, i64::MIN + 1, i64::MAX] {
        for length in [0, 1, u64::MAX] {
            estimator.observe(Timestamp::from_nanos(time), Duration::from_nanos(length));
        }
    }
    assert_eq!(estimator.estimate(), None);
}

/// The drift of a source of chunks of 20 ms, one every `micros` microseconds.
fn every(micros: i64) -> Option<Drift> {
    let mut estimator = DriftEstimator::new();
    for index in 0..30_000 {
        let time = Timestamp::from_nanos(BASE + index * micros * 1_000);
        estimator.observe(time, Duration::from_millis(20));
    }
    estimator.estimate()
}

#[test]
fn a_source_far_from_its_nominal_rate_gives_no_estimate() {
    for micros in [5_000, 10_000, 13_333, 16_667, 18_182, 22_222, 25_000, 30_000] {
        assert_eq!(every(micros), None, "{micros}");
    }
    assert!((every(20_200).expect("sure").ppm + 9_900.99).abs() < 0.01);
}
