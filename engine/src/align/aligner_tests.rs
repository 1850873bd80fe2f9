//! The promises of the aligner, one a test. Times are milliseconds; a sample is a number.

use std::sync::Arc;
use std::time::Duration;

use super::testing::{Rig, quick_pair as policy};
use super::*;
use crate::position::{InputId, PartitionId};
use crate::sample::StreamKey;
use crate::time::Timestamp;

const PIVOT: u16 = 0;
const OTHER: u16 = 1;

const fn nearest(tolerance: u64) -> Join {
    Join::Nearest { tolerance: Duration::from_millis(tolerance), reuse: true }
}

const fn nearest_once(tolerance: u64) -> Join {
    Join::Nearest { tolerance: Duration::from_millis(tolerance), reuse: false }
}

const fn between(max_age: u64) -> Join {
    Join::AllBetweenPivots { max_age: Duration::from_millis(max_age) }
}

const fn latest(max_age: u64) -> Join {
    Join::Latest { max_age: Duration::from_millis(max_age) }
}

const fn window(before: u64, after: u64) -> Join {
    Join::Window { before: Duration::from_millis(before), after: Duration::from_millis(after) }
}

fn rig(join: Join) -> Rig {
    Rig::new(policy(join, Missing::Emit))
}

#[test]
fn nearest_closes_when_nothing_nearer_can_come() {
    let mut rig = rig(nearest(50));
    assert_eq!(rig.push(OTHER, 90, 0), "");
    assert_eq!(rig.push(PIVOT, 100, 0), "");
    assert_eq!(rig.push(OTHER, 110, 0), "100:[100][90] 100x1 90x1", "as near, the earlier");
    assert_eq!(rig.push(PIVOT, 110, 0), "110:[110][110] 110x1", "an exact hit closes at once");
}

#[test]
fn nearest_beyond_the_tolerance_is_missing() {
    let mut rig = rig(nearest(5));
    assert_eq!(rig.push(PIVOT, 100, 0), "");
    assert_eq!(rig.push(OTHER, 105, 0), "100:[100][105] 100x1");
    assert_eq!(rig.push(PIVOT, 111, 0), "105x1");
    assert_eq!(rig.push(OTHER, 117, 0), "111:[111][] 111x1");
}

#[test]
fn latest_closes_past_the_watermark_or_on_an_exact_hit() {
    let mut rig = rig(latest(50));
    assert_eq!(rig.push(OTHER, 90, 0), "");
    assert_eq!(rig.push(PIVOT, 100, 0), "");
    assert_eq!(rig.push(OTHER, 101, 0), "100:[100][90] 100x1");
    assert_eq!(rig.push(PIVOT, 101, 0), "101:[101][101] 101x1 90x1");
    assert_eq!(rig.push(PIVOT, 160, 0), "101x1", "too old for anything from 160 on");
    assert_eq!(rig.push(OTHER, 161, 0), "160:[160][] 160x1");
}

#[test]
fn samples_between_pivots_go_to_the_first_pivot_not_before_them() {
    let mut rig = rig(between(20));
    for time in [70, 80, 90, 100] {
        rig.push(OTHER, time, 0);
    }
    assert_eq!(rig.push(PIVOT, 100, 0), "70x0", "the first reaches 20 back");
    assert_eq!(rig.push(OTHER, 101, 0), "100:[100][80, 90, 100] 100x1 80x1 90x1 100x1");
    assert_eq!(rig.push_as(OTHER, 100, 0, 7, 0), "late 7 by 1");
    assert_eq!(rig.push(PIVOT, 150, 0), "");
    assert_eq!(rig.push(OTHER, 151, 0), "150:[150][101] 150x1 101x1", "and the others as far as there is");
}

#[test]
fn a_part_between_pivots_has_its_bounds_and_skew() {
    let mut rig = rig(between(20));
    rig.push(OTHER, 85, 0);
    rig.push(PIVOT, 100, 0);
    let ns = |ms: i64, ns: i64| Timestamp::from_nanos(ms * 1_000_000 + ns);
    let part = rig.bundle_after(OTHER, 130, 0).parts[1].clone();
    assert_eq!((part.from, part.to, part.skew_ns), (ns(80, 0), ns(100, 1), Some(-15_000_000)));
    rig.emitted();
    rig.push(PIVOT, 140, 0);
    let part = rig.bundle_after(OTHER, 150, 0).parts[1].clone();
    assert_eq!((part.from, part.to, part.skew_ns), (ns(100, 1), ns(140, 1), Some(-10_000_000)));
}

#[test]
fn a_sample_used_once_goes_to_the_first_pivot_it_is_nearest_to() {
    let mut rig = rig(nearest_once(50));
    for time in [95, 103] {
        rig.push(OTHER, time, 0);
    }
    assert_eq!(rig.push(PIVOT, 100, 0), "100:[100][103] 100x1");
    assert_eq!(rig.push(PIVOT, 104, 0), "", "103 is nearest, but taken");
    assert_eq!(rig.push(OTHER, 113, 0), "104:[104][95] 104x1 95x1 103x1");
}

#[test]
fn the_first_of_samples_with_equal_times_counts() {
    for join in [nearest(50), latest(50)] {
        let mut rig = rig(join);
        assert_eq!(rig.push_as(OTHER, 90, 0, 1, 0), "");
        assert_eq!(rig.push_as(OTHER, 90, 0, 2, 0), "2x0");
        assert_eq!(rig.push(PIVOT, 90, 0), "90:[90][1] 90x1");
    }
}

#[test]
fn a_window_closes_when_the_watermark_has_reached_its_end() {
    let mut rig = rig(window(20, 10));
    for time in [79, 80, 100, 109] {
        assert_eq!(rig.push(OTHER, time, 0), "");
    }
    assert_eq!(rig.push(PIVOT, 100, 0), "79x0");
    assert_eq!(rig.push(OTHER, 110, 0), "100:[100][80, 100, 109] 100x1 80x1");
}

#[test]
fn windows_that_overlap_share_their_samples() {
    let mut rig = rig(window(20, 0));
    for time in [90, 95] {
        rig.push(OTHER, time, 0);
    }
    rig.push(PIVOT, 100, 0);
    assert_eq!(rig.push(OTHER, 100, 0), "100:[100][90, 95] 100x1");
    assert_eq!(rig.push(PIVOT, 110, 0), "");
    assert_eq!(rig.push(OTHER, 112, 0), "110:[110][90, 95, 100] 110x1 90x2");
}

#[test]
fn a_window_that_sound_covers_closes_before_the_watermark() {
    let mut rig = rig(window(30, 0));
    rig.push_as(OTHER, 60, 20, 60, 0);
    rig.push_as(PIVOT, 100, 0, 100, 0);
    assert_eq!(rig.push_as(OTHER, 80, 20, 80, 0), "100:[100][60, 80] 100x1");
}

#[test]
fn a_window_with_gaps_within_the_slack_closes_early_and_whole() {
    let mut rig = rig(window(30, 0));
    rig.push_as(OTHER, 60, 20, 60, 0);
    rig.push_as(PIVOT, 100, 0, 100, 0);
    rig.give(OTHER, 81, 19, 81, 0);
    let Some(Event::Bundle(bundle)) = rig.out.first() else { panic!("no bundle but: {}", rig.emitted()) };
    assert_eq!(bundle.parts[usize::from(OTHER)].coverage, Some(1.0));
    assert!(bundle.is_complete());
}

#[test]
fn sound_that_repeats_its_neighbours_is_always_left_out() {
    for early in [false, true] {
        let mut rig = rig(window(30, 0));
        rig.push_as(OTHER, 60, 20, 60, 0);
        rig.push_as(OTHER, 80, 21, 80, 0);
        if early {
            rig.push_as(OTHER, 99, 20, 99, 0);
        }
        let emitted = rig.push_as(PIVOT, 100, 0, 100, 0);
        assert!(emitted.starts_with("100:[100][60, 80] 100x1"), "{emitted}");
    }
}

#[test]
fn gaps_in_sound_show_in_the_coverage() {
    let mut rig = rig(window(100, 0));
    rig.push_as(OTHER, 0, 25, 1, 0);
    rig.push_as(OTHER, 50, 30, 2, 0);
    rig.push(PIVOT, 100, 0);
    let bundle = rig.bundle_after(OTHER, 100, 0);
    let sound = &bundle.parts[usize::from(OTHER)];
    assert_eq!(sound.samples.as_slice(), [1, 2]);
    assert_eq!(sound.coverage, Some(0.55));
    assert_eq!(sound.skew_ns, Some(0));
    assert!(!bundle.is_complete());
    assert_eq!((sound.from, sound.to), (Timestamp::from_millis(0), Timestamp::from_millis(100)));
}

#[test]
fn skew_is_the_distance_of_a_sample_from_the_pivot() {
    let mut rig = rig(nearest(50));
    rig.push(PIVOT, 100, 0);
    rig.push(OTHER, 93, 1);
    let bundle = rig.bundle_after(OTHER, 107, 3);
    assert_eq!(bundle.parts[1].skew_ns, Some(-7_000_000));
    assert_eq!(bundle.parts[0].skew_ns, Some(0));
    assert!(bundle.is_complete());
    assert_eq!(bundle.opened_at, Timestamp::from_millis(0));
    assert_eq!(bundle.closed_at, Timestamp::from_millis(3));
}

#[test]
fn pivots_out_of_order_close_in_order() {
    let mut policy = policy(nearest(0), Missing::Emit);
    policy.inputs[0].out_of_orderness = Duration::from_millis(20);
    let mut rig = Rig::new(policy);
    rig.push(OTHER, 100, 0);
    rig.push(OTHER, 110, 0);
    assert_eq!(rig.push(PIVOT, 110, 0), "");
    assert_eq!(rig.push(PIVOT, 100, 0), "", "95 may come still");
    assert_eq!(rig.push(PIVOT, 120, 0), "100:[100][100] 100x1 100x1");
    assert_eq!(rig.push(PIVOT, 130, 0), "110:[110][110] 110x1 110x1");
}

#[test]
fn a_bundle_does_not_wait_for_an_idle_input() {
    let mut rig = rig(nearest(50));
    rig.push(OTHER, 0, 0);
    assert_eq!(rig.push(PIVOT, 100, 70), "0x0");
    assert_eq!(rig.due(), Some(100));
    assert_eq!(rig.tick(99), "");
    assert_eq!(rig.tick(100), "100:[100][] 100x1");
}

#[test]
fn an_input_without_samples_is_idle_after_the_streams_first() {
    let mut rig = rig(nearest(50));
    rig.push(PIVOT, 100, 7);
    rig.push(PIVOT, 140, 50);
    assert_eq!(rig.tick(106), "");
    assert_eq!(rig.tick(107), "100:[100][] 100x1 140:[140][] 140x1");
}

#[test]
fn a_bundle_waits_again_for_an_input_that_is_no_longer_idle() {
    let mut rig = rig(nearest(10));
    rig.push(PIVOT, 100, 0);
    assert_eq!(rig.tick(100), "100:[100][] 100x1");
    assert_eq!(rig.push(OTHER, 104, 110), "");
    assert_eq!(rig.push(PIVOT, 140, 120), "104x0");
    assert_eq!(rig.tick(209), "");
    assert_eq!(rig.tick(210), "140:[140][] 140x1");
}

#[test]
fn an_idle_pivot_closes_its_last_bundles() {
    let mut policy = policy(nearest(10), Missing::Emit);
    policy.inputs[0].out_of_orderness = Duration::from_millis(20);
    let mut rig = Rig::new(policy);
    rig.push(PIVOT, 100, 0);
    assert_eq!(rig.push(OTHER, 100, 0), "", "a pivot at 90 may come still");
    assert_eq!(rig.tick(100), "100:[100][100] 100x1");
}

#[test]
fn no_bundle_waits_longer_than_max_wait() {
    let mut rig = rig(nearest(10));
    rig.push(PIVOT, 100, 0);
    for now in (50..1_000).step_by(50) {
        assert_eq!(rig.push(OTHER, 1, now), "late 1 by 89000000");
        assert_eq!(rig.tick(now), "");
    }
    assert_eq!(rig.due(), Some(1_000));
    assert_eq!(rig.tick(1_000), "100:[100][] 100x1");
}

#[test]
fn a_pivot_that_has_waited_long_enough_closes_earlier_ones() {
    let mut policy = policy(nearest(10), Missing::Emit);
    policy.inputs.iter_mut().for_each(|input| input.idle_timeout = Duration::from_secs(60));
    policy.inputs[0].out_of_orderness = Duration::from_millis(20);
    let mut rig = Rig::new(policy);
    rig.push(PIVOT, 110, 0);
    rig.push(PIVOT, 100, 500);
    rig.push(PIVOT, 120, 600);
    assert_eq!(rig.tick(999), "");
    assert_eq!(rig.tick(1_000), "100:[100][] 100x1 110:[110][] 110x1");
    assert_eq!(rig.due(), Some(1_600));
}

#[test]
fn a_pivot_before_the_last_closed_one_is_late() {
    let mut rig = rig(nearest(0));
    rig.push(OTHER, 100, 0);
    assert_eq!(rig.push(PIVOT, 100, 0), "100:[100][100] 100x1 100x1");
    assert_eq!(rig.push(PIVOT, 99, 0), "late 99 by 1000001");
}

#[test]
fn a_pivot_behind_the_watermark_finds_samples_until_it_is_late() {
    let mut rig = rig(nearest(0));
    assert_eq!(rig.push(PIVOT, 100, 0), "");
    assert_eq!(rig.push(PIVOT, 50, 0), "");
    assert_eq!(rig.push(OTHER, 50, 0), "50:[50][50] 50x1 50x1");
    assert_eq!(rig.push(OTHER, 100, 0), "100:[100][100] 100x1 100x1");
}

#[test]
fn a_second_pivot_of_a_time_is_a_duplicate_open_or_closed() {
    let mut rig = rig(nearest(0));
    rig.push(PIVOT, 100, 0);
    assert_eq!(rig.push_as(PIVOT, 100, 0, 7, 0), "duplicate 7");
    assert_eq!(rig.push(OTHER, 100, 0), "100:[100][100] 100x1 100x1");
    assert_eq!(rig.push_as(PIVOT, 100, 0, 8, 0), "duplicate 8");
}

#[test]
fn a_sample_before_all_future_windows_is_late_by_the_distance() {
    let mut rig = rig(window(20, 0));
    rig.push(PIVOT, 100, 0);
    assert_eq!(rig.push(OTHER, 79, 0), "late 79 by 1000000");
    assert_eq!(rig.push_as(OTHER, 60, 20, 60, 0), "late 60 by 1");
    assert_eq!(rig.push_as(OTHER, 60, 21, 61, 0), "", "its last millisecond is in the window");
    assert_eq!(rig.push(OTHER, 80, 0), "");
    assert_eq!(rig.push(OTHER, 100, 0), "100:[100][61, 80] 100x1");
}

#[test]
fn a_sample_behind_the_watermark_that_can_take_part_still_does() {
    let mut rig = rig(window(20, 10));
    rig.push(PIVOT, 100, 0);
    rig.push(OTHER, 105, 0);
    assert_eq!(rig.push(OTHER, 85, 0), "");
    assert_eq!(rig.push(OTHER, 110, 0), "100:[100][85, 105] 100x1");
}

#[test]
fn bundles_follow_the_policy_for_missing_samples() {
    for (missing, emitted) in [
        (Missing::Emit, "100:[100][] 100x1"),
        (Missing::Drop, "dropped 100:[100][] by 1 100x1"),
        (Missing::DeadLetter, "dead 100:[100][] by 1 100x1"),
    ] {
        let mut rig = Rig::new(policy(nearest(5), missing));
        rig.push(PIVOT, 100, 0);
        assert_eq!(rig.push(OTHER, 120, 0), emitted);
    }
}

#[test]
fn a_dead_letter_verdict_wins_over_a_drop() {
    let mut policy = policy(nearest(5), Missing::Drop);
    let mut third = policy.inputs[1].clone();
    third.missing = Missing::DeadLetter;
    policy.inputs.push(third);
    let mut rig = Rig::new(policy);
    rig.push(PIVOT, 100, 0);
    assert_eq!(rig.tick(100), "dead 100:[100][][] by 2 100x1");
}

/// The rig with these rules for `other`.
fn rig_with(join: Join, missing: Missing, needs: Needs) -> Rig {
    let mut policy = policy(join, missing);
    policy.inputs[1].needs = needs;
    Rig::new(policy)
}

fn shortfalls(bundle: &Bundle<u32>) -> Vec<(u16, &'static str)> {
    bundle.incomplete.iter().map(|it| (it.input.0, it.lack.as_str())).collect()
}

#[test]
fn fewer_samples_than_asked_for_count_as_missing() {
    let needs = Needs { min_count: 2, ..Needs::default() };
    let mut rig = rig_with(window(20, 0), Missing::Drop, needs);
    rig.push(OTHER, 90, 0);
    rig.push(PIVOT, 100, 0);
    assert_eq!(rig.push(OTHER, 101, 0), "dropped 100:[100][90] by 1 100x1");
    rig.push(PIVOT, 110, 0);
    assert_eq!(rig.push(OTHER, 112, 0), "110:[110][90, 101] 110x1 90x2");
}

#[test]
fn coverage_below_the_minimum_is_missing_else_only_reported() {
    for (min_coverage, emitted) in [(None, "100:"), (Some(0.5), "100:"), (Some(0.6), "dead 100:")] {
        let needs = Needs { min_coverage, ..Needs::default() };
        let mut rig = rig_with(window(100, 0), Missing::DeadLetter, needs);
        rig.push_as(OTHER, 0, 55, 1, 0);
        rig.push(PIVOT, 100, 0);
        rig.give(OTHER, 100, 0, 2, 0);
        let bundle = match &rig.out[0] {
            Event::Bundle(bundle) | Event::DeadLetter { bundle, .. } => bundle.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(bundle.is_complete(), min_coverage == Some(0.5));
        assert_eq!(
            shortfalls(&bundle),
            if bundle.is_complete() { vec![] } else { vec![(1, "min-coverage")] }
        );
        assert!(rig.emitted().starts_with(emitted));
    }
}

#[test]
fn a_bundle_waits_for_an_optional_input_but_needs_none() {
    let needs = Needs { required: false, ..Needs::default() };
    let mut rig = rig_with(nearest(5), Missing::Drop, needs);
    assert_eq!(rig.push(PIVOT, 100, 0), "");
    let bundle = rig.bundle_after(OTHER, 106, 0);
    assert!(bundle.is_complete() && bundle.parts[1].samples.is_empty());
}

#[test]
fn the_last_value_is_held_up_to_its_age_where_there_is_none() {
    let held = Missing::Hold { max_age: Duration::from_millis(30) };
    let mut rig = Rig::new(policy(nearest(5), held));
    rig.push(OTHER, 80, 0);
    rig.push(PIVOT, 100, 0);
    let bundle = rig.bundle_after(OTHER, 106, 0);
    let part = &bundle.parts[1];
    assert_eq!((part.samples.as_slice(), part.held, part.skew_ns), (&[80][..], true, Some(-20_000_000)));
    assert!(bundle.is_complete());
    rig.emitted();
    rig.push(PIVOT, 137, 0);
    let bundle = rig.bundle_after(OTHER, 143, 0);
    assert_eq!((bundle.parts[1].samples.len(), bundle.parts[1].held), (0, false), "31 is too old");
    assert_eq!(shortfalls(&bundle), [(1, "missing")]);
}

#[test]
fn a_value_that_may_be_held_stays_until_a_later_one_comes() {
    let held = Missing::Hold { max_age: Duration::from_millis(30) };
    let mut rig = Rig::new(policy(between(5), held));
    rig.push(OTHER, 98, 0);
    rig.push(PIVOT, 100, 0);
    assert_eq!(rig.push(OTHER, 121, 0), "100:[100][98] 100x1");
    assert_eq!(rig.push(PIVOT, 110, 0), "110:[110][98] 110x1", "nothing since 100");
    assert_eq!(rig.push(PIVOT, 121, 0), "98x2", "121 is what may be held from now on");
    assert_eq!(rig.push(OTHER, 122, 0), "121:[121][121] 121x1");
}

#[test]
fn a_bundle_says_why_an_input_brought_too_little() {
    let mut rig = rig(nearest(10));
    rig.push(PIVOT, 100, 0);
    assert_eq!(shortfalls(&rig.bundle_after(OTHER, 120, 0)), [(1, "missing")]);
    rig.emitted();
    rig.push(PIVOT, 200, 0);
    rig.aligner.tick(Timestamp::from_millis(100), &mut rig.out);
    let Some(Event::Bundle(bundle)) = rig.out.first() else { panic!("no bundle") };
    assert_eq!((shortfalls(bundle), bundle.wait_ns()), (vec![(1, "idle")], 100_000_000));
    rig.emitted();
    rig.push(OTHER, 280, 1_000);
    rig.push(PIVOT, 300, 1_000);
    for now in (1_050..2_000).step_by(50) {
        rig.push(OTHER, 289, now);
    }
    rig.aligner.tick(Timestamp::from_millis(2_000), &mut rig.out);
    let Some(Event::Bundle(bundle)) = rig.out.first() else { panic!("no bundle") };
    assert_eq!((shortfalls(bundle), bundle.wait_ns()), (vec![(1, "max-wait")], 1_000_000_000));
}

#[test]
fn a_silent_pivot_does_not_make_the_others_pile_up() {
    let mut rig = rig(latest(500));
    for time in 0..50 {
        rig.push(OTHER, time * 100, time * 100);
        let emitted = rig.tick(time * 100);
        // Kept for max_wait and max_age: 1 000 + 500.
        let gone = time - 15;
        assert_eq!(emitted, if gone >= 0 { format!("{}x0", gone * 100) } else { String::new() });
    }
    assert_eq!(rig.aligner.buffered(), 15);
    assert_eq!(rig.due(), Some(5_000));
}

#[test]
fn samples_out_of_order_are_all_used() {
    let mut policy = policy(window(20, 0), Missing::Emit);
    policy.inputs[1].out_of_orderness = Duration::from_millis(10);
    let mut rig = Rig::new(policy);
    rig.push(PIVOT, 100, 0);
    for time in [95, 105, 99, 96] {
        assert_eq!(rig.push(OTHER, time, 0), "");
    }
    assert_eq!(rig.push(OTHER, 110, 0), "100:[100][95, 96, 99] 100x1");
}

#[test]
fn a_pivot_alone_is_a_bundle_at_once() {
    let mut policy = policy(nearest(5), Missing::Emit);
    policy.inputs.truncate(1);
    let mut rig = Rig::new(policy);
    assert_eq!(rig.push(PIVOT, 100, 0), "100:[100] 100x1");
    assert_eq!(rig.push(3, 100, 0), "100x0", "an input that the policy does not have");
}

#[test]
fn only_a_stream_that_holds_nothing_is_forgotten() {
    let mut rig = rig(nearest(0));
    rig.push(OTHER, 100, 0);
    rig.push(PIVOT, 100, 5);
    assert_eq!((rig.aligner.buffered(), rig.aligner.streams()), (0, 1));
    assert_eq!(rig.due(), Some(1_000), "set when the first sample came; early, never late");
    rig.tick(1_000);
    assert_eq!(rig.due(), Some(10_005));
    rig.tick(10_004);
    assert_eq!(rig.aligner.streams(), 1);
    rig.tick(10_005);
    assert_eq!((rig.aligner.streams(), rig.due()), (0, None));
    rig.push(OTHER, 50, 20_000);
    rig.push(OTHER, 60, 20_000);
    assert_eq!((rig.aligner.streams(), rig.aligner.buffered()), (1, 2));
}

#[test]
fn ten_thousand_streams_that_come_and_go_leave_nothing() {
    let mut aligner = Aligner::new(Arc::new(policy(nearest(50), Missing::Emit)));
    let mut out = Vec::new();
    for round in 0..10_000_i64 {
        let (key, now) = (StreamKey::from(format!("s{round}").as_str()), Timestamp::from_millis(round * 100));
        aligner.tick(now, &mut out);
        for input in [OTHER, PIVOT] {
            aligner.push(&key, InputId(input), Stamp::new(now, Duration::ZERO), 0_u8, now, &mut out);
        }
        assert!(aligner.streams() <= 130, "{} in round {round}", aligner.streams());
    }
    aligner.tick(Timestamp::from_millis(2_000_000), &mut out);
    assert_eq!((aligner.streams(), aligner.buffered(), aligner.next_deadline()), (0, 0, None));
    let bundles = out.iter().filter(|event| matches!(event, Event::Bundle(_))).count();
    let released = out.iter().filter(|event| matches!(event, Event::Released { used: 1, .. })).count();
    assert_eq!((bundles, released, out.len()), (10_000, 20_000, 30_000));
}

#[test]
fn revoked_streams_are_forgotten_silently_even_when_empty() {
    let mut rig = rig(nearest(0));
    rig.push(PIVOT, 100, 0);
    rig.push(OTHER, 100, 0);
    rig.push(PIVOT, 200, 0);
    rig.aligner.forget(|key| key.as_str() == "another");
    assert_eq!(rig.aligner.buffered(), 1);
    rig.aligner.forget_partitions(|partition| partition.partition == 4);
    assert_eq!(rig.aligner.buffered(), 1);
    rig.aligner.forget_partitions(|it| it == PartitionId { input: InputId(OTHER), partition: 0 });
    assert_eq!((rig.aligner.buffered(), rig.aligner.streams(), rig.emitted()), (0, 0, String::new()));
    assert_eq!(rig.tick(5_000), "");
    // A record that is read again is new, not late and no duplicate.
    rig.push(PIVOT, 100, 5_000);
    assert_eq!(rig.push(OTHER, 100, 5_000), "100:[100][100] 100x1 100x1");
}

#[test]
fn finish_closes_open_bundles_and_releases_the_rest() {
    let mut rig = rig(nearest(10));
    rig.push(PIVOT, 100, 0);
    rig.push(PIVOT, 140, 0);
    rig.push(OTHER, 95, 0);
    assert_eq!(rig.finish(0), "100:[100][95] 100x1 140:[140][] 140x1 95x1");
    assert_eq!((rig.aligner.buffered(), rig.aligner.streams(), rig.due()), (0, 0, None));
}

#[test]
fn the_aligners_clock_never_goes_back() {
    let mut rig = rig(nearest(10));
    rig.push(PIVOT, 100, 1_000);
    rig.push(PIVOT, 140, 3);
    assert_eq!(rig.due(), Some(1_100));
    assert_eq!(rig.tick(1_100), "100:[100][] 100x1 140:[140][] 140x1");
}

#[test]
fn the_latest_event_time_of_an_input_is_known() {
    let mut rig = rig(nearest(10));
    assert_eq!(rig.aligner.latest(InputId(PIVOT)), None);
    rig.push(PIVOT, 100, 0);
    rig.push(PIVOT, 90, 0);
    assert_eq!(rig.aligner.latest(InputId(PIVOT)), Some(Timestamp::from_millis(100)));
    assert_eq!(rig.aligner.latest(InputId(9)), None);
}

#[test]
fn times_at_the_ends_of_the_range_do_no_harm() {
    let far = u64::MAX / 2;
    for join in [nearest(far), nearest_once(far), latest(far), between(far), window(far, far)] {
        let mut rig = rig(join);
        for input in [OTHER, PIVOT, OTHER, PIVOT] {
            for time in [Timestamp::MIN, Timestamp::from_nanos(0), Timestamp::MAX, Timestamp::MIN] {
                let stamp = Stamp::new(time, Duration::MAX);
                rig.aligner.push(&"s".into(), InputId(input), stamp, 0, Timestamp::MAX, &mut rig.out);
            }
        }
        rig.aligner.tick(Timestamp::MAX, &mut rig.out);
        rig.aligner.finish(Timestamp::MAX, &mut rig.out);
        let ended = |event: &&Event<u32>| {
            matches!(event, Event::Late { .. } | Event::Duplicate(_) | Event::Released { .. })
        };
        assert_eq!(rig.out.iter().filter(ended).count(), 16);
    }
}

#[test]
fn a_first_sample_at_the_earliest_time_of_all_is_not_late() {
    let mut rig = rig(nearest(0));
    for input in [OTHER, PIVOT] {
        let stamp = Stamp::new(Timestamp::MIN, Duration::ZERO);
        rig.aligner.push(&"s".into(), InputId(input), stamp, 7, Timestamp::from_nanos(0), &mut rig.out);
    }
    assert!(matches!(rig.out.first(), Some(Event::Bundle(bundle)) if bundle.first), "{:?}", rig.out);
    rig.out.clear();
    let stamp = Stamp::new(Timestamp::MIN, Duration::ZERO);
    rig.aligner.push(&"s".into(), InputId(PIVOT), stamp, 8, Timestamp::from_nanos(0), &mut rig.out);
    assert_eq!(rig.emitted(), "duplicate 8");
}
