//! The promises of approximate time, by hand, in milliseconds.

use std::time::Duration;

use super::super::testing::{Rig, quick};
use super::super::*;
use crate::testing::ms;

/// Approximate time over inputs that are in order; idle after 100 ms, waiting 1 s, no age penalty.
fn policy(inputs: usize, change: impl FnOnce(&mut ApproximateTime)) -> AlignPolicy {
    let mut approximate = ApproximateTime { age_penalty: 0.0, ..ApproximateTime::default() };
    change(&mut approximate);
    quick(Method::ApproximateTime(approximate), vec![Join::Pivot; inputs])
}

fn plain(inputs: usize) -> Rig {
    Rig::new(policy(inputs, |_| {}))
}

#[test]
fn the_closest_samples_make_a_set_and_the_rest_goes_unused() {
    let mut rig = plain(2);
    for time in [10, 20, 30] {
        assert_eq!(rig.push(0, time, 0), "");
    }
    assert_eq!(rig.push(1, 21, 0), "10x0 21:[20][21] 20x1 21x1");
    assert_eq!(rig.push(1, 33, 0), "");
    assert_eq!(rig.push(0, 40, 0), "33:[30][33] 30x1 33x1");
}

#[test]
fn a_sample_is_never_in_two_sets() {
    let mut rig = plain(2);
    rig.push(0, 10, 0);
    assert_eq!(rig.push(1, 10, 0), "10:[10][10] 10x1 10x1");
    rig.push(0, 20, 0);
    assert_eq!(rig.push(1, 12, 0), "");
    assert_eq!(rig.push(1, 19, 0), "12x0");
    assert_eq!(rig.push(1, 22, 0), "20:[20][19] 20x1 19x1");
}

#[test]
fn sets_do_not_cross_though_others_would_be_closer() {
    let mut rig = plain(2);
    rig.push(0, 10, 0);
    rig.push(0, 30, 0);
    // 10 goes unused: any partner of it would come after 29, and so cross this set.
    assert_eq!(rig.push(1, 29, 0), "10x0 30:[30][29] 30x1 29x1");
    assert_eq!(rig.push(1, 31, 0), "");
    assert_eq!(rig.push(0, 31, 0), "31:[31][31] 31x1 31x1");
}

#[test]
fn samples_that_decide_contiguity_are_held_until_a_set_is_made() {
    let given = [(0, 10), (1, 1), (2, 8), (1, 15)];
    let mut rig = plain(3);
    let emitted: String = given.iter().map(|(input, time)| rig.push(*input, *time, 0)).collect();
    // {10, 15, 8} is better than {10, 1, 8}. Without the 1 the 15 were the first of its input, and {17, 15, 16} contiguous.
    let mut restarted = plain(3);
    for (input, time) in given.iter().filter(|(_, time)| !emitted.contains(&format!("{time}x"))) {
        assert_eq!(restarted.push(*input, *time, 0), "");
    }
    for rig in [&mut rig, &mut restarted] {
        let emitted = [rig.push(2, 16, 0), rig.push(0, 17, 0)].concat();
        assert_eq!(emitted, "1x0 8x0 16:[10][15][16] 10x1 15x1 16x1");
    }
}

#[test]
fn a_full_queue_loses_nothing_by_samples_passed_over() {
    let mut rig = Rig::new(policy(3, |it| it.queue = 2));
    for (input, time) in [(0, 10), (1, 1), (2, 8), (1, 15)] {
        assert_eq!(rig.push(input, time, 0), "");
    }
    assert_eq!(rig.push(1, 40, 0), "1x0");
    assert_eq!(rig.push(2, 16, 0), "8x0 16:[10][15][16] 10x1 15x1 16x1");
}

#[test]
fn the_event_time_is_the_latest_stamp_and_skew_counts_from_it() {
    let mut rig = plain(2);
    rig.give(0, 10, 0, 1, 5);
    rig.give(1, 12, 0, 2, 7);
    let bundle = rig.bundle_after(0, 30, 9);
    assert_eq!(bundle.event_time.as_millis(), 12);
    assert_eq!((bundle.parts[0].skew_ns, bundle.parts[1].skew_ns), (Some(-2_000_000), Some(0)));
    assert_eq!((bundle.opened_at.as_millis(), bundle.closed_at.as_millis()), (5, 9));
    assert!(bundle.first && bundle.is_complete());
}

#[test]
fn a_min_period_gives_the_same_sets_earlier() {
    let (mut plain, mut quick) = (plain(2), Rig::new(policy(2, |it| it.min_periods = vec![ms(10), ms(10)])));
    for rig in [&mut plain, &mut quick] {
        assert_eq!(rig.push(0, 10, 0), "");
    }
    // The next of either comes at 20 at the earliest: 12 and 20 are no closer than 10 and 12.
    assert_eq!(quick.push(1, 12, 0), "12:[10][12] 10x1 12x1");
    assert_eq!(plain.push(1, 12, 0), "");
    assert_eq!(plain.push(0, 20, 0), "12:[10][12] 10x1 12x1");
}

#[test]
fn an_age_penalty_is_the_factor_a_later_set_has_to_gain() {
    let given = |age_penalty| {
        let mut rig = Rig::new(policy(2, |it| it.age_penalty = age_penalty));
        rig.push(1, 20, 0);
        rig.push(0, 10, 0);
        format!("{}{}", rig.push(0, 26, 0), rig.finish(0))
    };
    // {26, 20} starts 10 later and ends 6 later.
    assert!(given(0.0).contains("26:[26][20]"), "{}", given(0.0));
    assert!(given(0.6).contains("26:[26][20]"), "{}", given(0.6));
    assert!(given(0.7).starts_with("20:[10][20]"), "{}", given(0.7));
}

#[test]
fn no_set_is_wider_than_the_max_interval() {
    let mut rig = Rig::new(policy(2, |it| it.max_interval = Some(ms(5))));
    rig.push(0, 10, 0);
    assert_eq!(rig.push(1, 16, 0), "10x0");
    assert_eq!(rig.push(0, 22, 0), "16x0");
    assert_eq!(rig.push(1, 27, 0), "");
    assert_eq!(rig.push(0, 40, 0), "27:[22][27] 22x1 27x1");
}

#[test]
fn a_full_queue_evicts_its_earliest_sample_with_an_event() {
    let mut rig = Rig::new(policy(2, |it| it.queue = 2));
    rig.push(0, 10, 0);
    rig.push(0, 20, 0);
    assert_eq!(rig.push(0, 30, 0), "evicted 10 queue");
    assert_eq!(rig.aligner.buffered(), 2);
    // 10 might have been the better partner of 11.
    assert_eq!(rig.push(1, 11, 0), "11x0");
    assert_eq!(rig.push(1, 21, 0), "21:[20][21] 20x1 21x1");
}

#[test]
fn an_idle_input_does_not_stall_the_others() {
    let mut rig = plain(3);
    rig.push(0, 10, 0);
    rig.push(1, 11, 0);
    assert_eq!(rig.due(), Some(100));
    assert_eq!(rig.push(0, 20, 90), "");
    assert_eq!(rig.push(1, 21, 90), "");
    assert_eq!(rig.tick(100), "11:[10][11][] 10x1 11x1");
    // The search waits for it again when it brings a sample, and begins the current set anew with it.
    assert_eq!(rig.push(2, 22, 101), "");
    assert_eq!(rig.push(0, 30, 102), "22:[20][21][22] 20x1 21x1 22x1");
}

#[test]
fn samples_of_an_idle_input_take_part() {
    let mut policy = policy(2, |_| {});
    policy.inputs[1].out_of_orderness = ms(50);
    let mut rig = Rig::new(policy);
    rig.push(1, 11, 0);
    rig.push(0, 10, 50);
    // Until then 11 was held back for ordering.
    assert_eq!(rig.push(0, 20, 60), "");
    assert_eq!(rig.tick(100), "11:[10][11] 10x1 11x1 20:[20][] 20x1");
}

#[test]
fn sets_follow_the_policy_for_missing_samples() {
    for (missing, emitted) in
        [(Missing::Drop, "dropped 10:[10][] by 1 10x1"), (Missing::DeadLetter, "dead 10:[10][] by 1 10x1")]
    {
        let mut policy = policy(2, |_| {});
        policy.inputs[1].missing = missing;
        let mut rig = Rig::new(policy);
        rig.push(0, 10, 0);
        assert_eq!(rig.tick(100), emitted);
    }
}

#[test]
fn nothing_is_held_longer_than_max_wait() {
    let mut policy = policy(2, |_| {});
    policy.inputs[1].idle_timeout = ms(60_000);
    policy.inputs[1].out_of_orderness = ms(50);
    let mut rig = Rig::new(policy);
    rig.push(0, 10, 0);
    rig.push(0, 50, 500);
    // It is held back for ordering, and still leaves with the sample that has waited long enough.
    assert_eq!(rig.push(1, 52, 600), "");
    assert_eq!(rig.due(), Some(1_000));
    assert_eq!(rig.tick(999), "");
    assert_eq!(rig.tick(1_000), "10x0 52:[50][52] 50x1 52x1");
    assert_eq!(rig.push(1, 40, 1_001), "late 40 by 12000001");
}

#[test]
fn samples_before_one_that_waited_long_enough_leave_with_it() {
    let mut policy = policy(2, |_| {});
    policy.inputs[0].out_of_orderness = ms(50);
    policy.inputs.iter_mut().for_each(|input| input.idle_timeout = ms(60_000));
    let mut rig = Rig::new(policy);
    rig.push(0, 30, 0);
    rig.push(0, 20, 500);
    assert_eq!(rig.due(), Some(1_000));
    assert_eq!(rig.tick(1_000), "20:[20][] 20x1 30:[30][] 30x1");
}

#[test]
fn samples_out_of_order_within_bounds_are_ordered() {
    let mut policy = policy(2, |_| {});
    policy.inputs[0].out_of_orderness = ms(10);
    let mut rig = Rig::new(policy);
    rig.push(1, 10, 0);
    rig.push(1, 20, 0);
    assert_eq!(rig.push(0, 18, 0), "");
    assert_eq!(rig.push(0, 11, 0), "");
    assert_eq!(rig.push(0, 21, 0), "11:[11][10] 11x1 10x1");
}

#[test]
fn a_sample_behind_the_watermark_counts_until_a_later_one_left() {
    let mut rig = plain(2);
    rig.push(0, 20, 0);
    assert_eq!(rig.push(0, 10, 0), "");
    assert_eq!(rig.push(0, 10, 0), "duplicate 10");
    assert_eq!(rig.push(1, 10, 0), "10:[10][10] 10x1 10x1");
    assert_eq!(rig.push(0, 10, 0), "duplicate 10");
    assert_eq!(rig.push(0, 9, 0), "late 9 by 1000001");
}

#[test]
fn one_input_alone_makes_a_set_of_each_sample() {
    let mut rig = plain(1);
    assert_eq!(rig.push(0, 10, 0), "10:[10] 10x1");
    assert_eq!(rig.push(0, 11, 0), "11:[11] 11x1");
}

#[test]
fn a_partial_set_that_would_end_before_the_last_goes_unused() {
    let mut rig = plain(3);
    rig.push(0, 10, 0);
    rig.push(1, 20, 0);
    rig.push(1, 25, 0);
    rig.push(2, 30, 0);
    assert_eq!(rig.finish(0), "30:[10][20][30] 10x1 20x1 30x1 25x0");
}

#[test]
fn times_at_the_ends_of_the_range_do_no_harm() {
    let mut rig = Rig::new(policy(2, |it| it.age_penalty = 999.0));
    let mut give = |input, time| {
        let stamp = Stamp::new(crate::time::Timestamp::from_nanos(time), Duration::ZERO);
        let stream = crate::sample::StreamKey::from("s");
        let now = crate::time::Timestamp::from_nanos(0);
        rig.aligner.push(&stream, crate::position::InputId(input), stamp, 0, now, &mut rig.out);
    };
    give(0, i64::MIN);
    give(1, i64::MAX);
    give(0, i64::MAX);
    give(1, i64::MIN);
    rig.finish(0);
    assert_eq!(rig.aligner.buffered(), 0);
}
