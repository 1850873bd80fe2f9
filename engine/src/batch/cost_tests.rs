//! Tests of the cost model: it finds the cost of batches, follows changes, and withstands outliers.

use proptest::prelude::*;

use super::*;

const MS: f64 = 1e-3;

fn took(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn close(found: f64, expected: f64, part: f64) -> bool {
    (found - expected).abs() <= part * expected.abs()
}

#[test]
fn cost_model_finds_both_parts_from_several_sizes() {
    let mut cost = CostModel::default();
    for size in [1, 8, 3, 5, 8, 2, 8, 1] {
        cost.observe(size, took(4.0 * MS + 0.5 * MS * size as f64));
    }
    let (fixed, per_item) = cost.parts();
    assert!(close(fixed, 4.0 * MS, 0.01) && close(per_item, 0.5 * MS, 0.01), "{fixed} {per_item}");
}

#[test]
fn cost_of_a_single_size_is_right_and_half_is_fixed() {
    for size in [1, 7, 64] {
        let mut cost = CostModel::default();
        for _ in 0..500 {
            cost.observe(size, took(6.0 * MS));
        }
        let (fixed, per_item) = cost.parts();
        assert!(close(cost.of(size), 6.0 * MS, 0.01));
        assert!(close(fixed, 3.0 * MS, 0.01) && close(per_item * size as f64, 3.0 * MS, 0.01));
    }
}

#[test]
fn outlier_has_little_effect_on_the_cost() {
    let mut cost = CostModel::default();
    for round in 0..60 {
        let size = 1 + round % 8;
        cost.observe(size, took(4.0 * MS + 0.5 * MS * size as f64));
    }
    let before = cost;
    cost.observe(4, took(1.0));
    for size in 1..=8 {
        assert!(close(cost.of(size), before.of(size), 0.05), "{size}: {} {}", cost.of(size), before.of(size));
    }
}

#[test]
fn slow_first_batch_is_soon_forgotten() {
    let mut cost = CostModel::default();
    cost.observe(1, took(2.0));
    for round in 0..200 {
        let size = 1 + round % 4;
        cost.observe(size, took(4.0 * MS + MS * size as f64));
    }
    assert!(close(cost.of(1), 5.0 * MS, 0.1), "{}", cost.of(1));
}

#[test]
fn cost_model_follows_a_change() {
    let mut cost = CostModel::default();
    for round in 0..500 {
        cost.observe(1 + round % 8, took(4.0 * MS));
    }
    for round in 0..300 {
        cost.observe(1 + round % 8, took(12.0 * MS));
    }
    assert!(close(cost.of(4), 12.0 * MS, 0.05), "{}", cost.of(4));
}

#[test]
fn cost_model_keeps_sizes_that_were_not_seen_for_an_hour() {
    let mut cost = CostModel::default();
    for round in 0..100 {
        let size = 1 + round % 8;
        cost.observe(size, took(4.0 * MS + 0.5 * MS * size as f64));
    }
    for _ in 0..100_000 {
        cost.observe(8, took(8.0 * MS));
    }
    assert!(close(cost.of(1), 4.5 * MS, 0.05), "{}", cost.of(1));
}

#[test]
fn cost_parts_from_noise_are_not_negative() {
    let mut cost = CostModel::default();
    // Larger batches are faster here: no fixed cost explains that, and no cost per bundle either.
    for round in 0..100 {
        let size = 1 + round % 8;
        cost.observe(size, took((10.0 - size as f64) * MS));
    }
    let (fixed, per_item) = cost.parts();
    assert!(per_item == 0.0 && fixed > MS && fixed < 10.0 * MS, "{fixed} {per_item}");
    assert_eq!(CostModel::default().of(8), 0.0);
}

proptest! {
    #[test]
    fn cost_parts_are_finite_and_never_negative(
        batches in prop::collection::vec((0usize..5_000, 0u64..10_000_000_000), 0..200),
    ) {
        let mut cost = CostModel::default();
        for (size, nanos) in batches {
            cost.observe(size, Duration::from_nanos(nanos));
            let (fixed, per_item) = cost.parts();
            prop_assert!(fixed.is_finite() && fixed >= 0.0 && per_item.is_finite() && per_item >= 0.0);
        }
    }

    /// The oracle is a line through noisy points, fitted by the closed form over all of them.
    #[test]
    fn cost_model_fits_noise_as_well_as_the_closed_form(
        fixed in 0.5f64..20.0, per_item in 0.05f64..5.0, noise in prop::collection::vec(-1.0f64..1.0, 400),
    ) {
        let mut cost = CostModel::default();
        for (round, noise) in noise.iter().enumerate() {
            let size = 1 + (round * 7) % 16;
            let exact = fixed + per_item * size as f64;
            cost.observe(size, took(exact * (1.0 + 0.05 * noise) * MS));
        }
        for size in [1, 4, 16] {
            let exact = (fixed + per_item * size as f64) * MS;
            prop_assert!(close(cost.of(size), exact, 0.1), "{size}: {} for {exact}", cost.of(size));
        }
    }
}

#[test]
fn full_batch_share_follows_the_sizes_of_recent_batches() {
    let mut costs = BatchCosts::default();
    assert_eq!(costs.share_in(8), None);
    let run = |costs: &mut BatchCosts, size: usize| costs.ran(size, took(4.0 * MS + 0.5 * MS * size as f64));
    for round in 0..400 {
        run(&mut costs, 1 + round % 8);
    }
    for _ in 0..400 {
        run(&mut costs, 1);
    }
    let share = costs.share_in(8).expect("much is known");
    assert!(close(share, 1.0 / 4.5, 0.02), "1 ms of a bundle in eight, 4.5 ms alone: {share}");
    for _ in 0..400 {
        run(&mut costs, 8);
    }
    assert!(close(costs.share_in(8).expect("much is known"), 1.0, 0.01), "they are full");
    assert!(costs.share_in(1).expect("much is known") <= 1.0);
}
