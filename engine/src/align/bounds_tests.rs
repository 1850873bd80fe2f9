//! The promises of bounds, one a test. Times are milliseconds; a sample is a number, which is also its weight.

use std::time::Duration;

use super::testing::{Rig, quick};
use super::*;
use crate::position::InputId;
use crate::testing::ms;
use crate::time::Timestamp;

const PIVOT: u16 = 0;
const OTHER: u16 = 1;

fn policy(method: Method, join: Join, bounds: Bounds) -> AlignPolicy {
    AlignPolicy { bounds, ..quick(method, [Join::Pivot, join]) }
}

fn items(stream_items: usize, overflow: Overflow) -> Bounds {
    Bounds { stream_items: Some(stream_items), overflow, ..Bounds::default() }
}

fn with_pivot(join: Join, bounds: Bounds) -> Rig {
    Rig::new(policy(Method::Pivot(InputId(PIVOT)), join, bounds))
}

fn without_pivot(method: Method, bounds: Bounds) -> Rig {
    Rig::new(policy(method, Join::Pivot, bounds))
}

const WINDOW: Join = Join::Window { before: ms(100), after: Duration::ZERO };

#[test]
fn on_overflow_the_earliest_bundle_closes_as_it_is_and_says_so() {
    let mut rig = with_pivot(WINDOW, items(3, Overflow::Close));
    rig.push(OTHER, 950, 0);
    assert_eq!(rig.push(PIVOT, 1_000, 0), "");
    assert_eq!(rig.push(PIVOT, 1_100, 0), "");
    assert_eq!(rig.push(PIVOT, 1_140, 0), "1000:[1000][950] 1000x1 950x1");
    assert_eq!(rig.push(PIVOT, 1_200, 0), "");
    let bundle = rig.bundle_after(PIVOT, 1_300, 0);
    assert_eq!(bundle.event_time, Timestamp::from_millis(1_100));
    let lacks: Vec<_> = bundle.incomplete.iter().map(|it| (it.input.0, it.lack.as_str())).collect();
    assert_eq!(lacks, [(OTHER, "overflow")], "it was still waited for");
}

#[test]
fn an_idle_input_is_not_reported_as_cut_by_overflow() {
    let mut rig = with_pivot(WINDOW, items(1, Overflow::Close));
    rig.push(OTHER, 10, 0);
    rig.give(PIVOT, 1_000, 0, 0, 0);
    rig.give(PIVOT, 1_100, 0, 0, 99);
    let lack = |rig: &Rig| {
        let first = rig.out.iter().find_map(|event| match event {
            Event::Bundle(bundle) => Some(bundle),
            _ => None,
        });
        first.and_then(|bundle| bundle.incomplete.first()).map(|it| it.lack)
    };
    assert_eq!(lack(&rig), Some(Lack::Overflow));
    rig.emitted();
    rig.give(PIVOT, 1_200, 0, 0, 101);
    assert_eq!(lack(&rig), Some(Lack::Idle));
}

#[test]
fn without_an_open_bundle_the_earliest_sample_is_evicted() {
    let mut rig = with_pivot(WINDOW, items(2, Overflow::Close));
    rig.push(OTHER, 20, 0);
    rig.push(OTHER, 10, 0);
    assert_eq!(rig.push(OTHER, 30, 0), "evicted 10 stream-items");
    assert_eq!(rig.push(OTHER, 5, 0), "evicted 5 stream-items");
    assert_eq!(rig.aligner.buffered(), 2);
}

#[test]
fn an_evicted_sample_names_its_bound() {
    let bytes = Bounds { stream_bytes: Some(50), ..Bounds::default() };
    let mut rig = with_pivot(WINDOW, bytes);
    assert_eq!(rig.push_as(OTHER, 10, 0, 20, 0), "");
    assert_eq!(rig.push_as(OTHER, 20, 0, 30, 0), "");
    assert_eq!(rig.push_as(OTHER, 30, 0, 1, 0), "evicted 20 stream-bytes");
    assert_eq!(
        rig.push_as(OTHER, 40, 0, 51, 0),
        "evicted 30 stream-bytes evicted 1 stream-bytes evicted 51 stream-bytes"
    );

    let span = Bounds { stream_span: Some(ms(50)), ..Bounds::default() };
    let mut rig = with_pivot(WINDOW, span);
    assert_eq!(rig.push(OTHER, 10, 0), "");
    assert_eq!(rig.push(OTHER, 60, 0), "");
    assert_eq!(rig.push(OTHER, 70, 0), "evicted 10 stream-span");
    assert_eq!(rig.push(PIVOT, 80, 0), "");
    assert_eq!(rig.push(PIVOT, 111, 0), "80:[80][60, 70] 80x1 evicted 60x1 stream-span");
    assert_eq!(rig.push(PIVOT, 119, 0), "", "70 to 119");
}

#[test]
fn an_evicted_sample_counts_the_bundles_it_was_in() {
    let mut rig = with_pivot(WINDOW, items(2, Overflow::Close));
    rig.push(OTHER, 10, 0);
    rig.push(OTHER, 20, 0);
    assert_eq!(rig.push(PIVOT, 30, 0), "30:[30][10, 20] 30x1");
    assert_eq!(rig.push(OTHER, 40, 0), "evicted 10x1 stream-items");
}

#[test]
fn an_evicted_pivot_leaves_its_samples_to_the_next_pivot() {
    let between = Join::AllBetweenPivots { max_age: ms(200) };
    let bounds = Bounds { stream_bytes: Some(39), overflow: Overflow::DropOldest, ..Bounds::default() };
    let mut rig = with_pivot(between, bounds);
    for (time, weight) in [(100, 10), (200, 11), (300, 12)] {
        assert_eq!(rig.push_as(PIVOT, time, 0, weight, 0), "");
    }
    assert_eq!(rig.push_as(PIVOT, 400, 0, 13, 0), "evicted 10 stream-bytes");
    assert_eq!(rig.push_as(OTHER, 90, 0, 1, 0), "");
    assert_eq!(rig.push_as(OTHER, 201, 0, 2, 0), "200:[11][1] 11x1 1x1");
}

#[test]
fn a_pivot_is_evicted_last_of_equal_times() {
    let around = Join::Window { before: ms(100), after: ms(100) };
    let mut rig = with_pivot(around, items(1, Overflow::DropOldest));
    rig.push_as(PIVOT, 100, 0, 1, 0);
    assert_eq!(rig.push_as(OTHER, 100, 0, 2, 0), "evicted 2 stream-items");
}

#[test]
fn an_emitted_bundle_closes_where_its_pivot_would_be_evicted() {
    let bounds = items(2, Overflow::DropOldest);
    let mut policy = policy(Method::Pivot(InputId(PIVOT)), WINDOW, bounds);
    policy.revise.early = true;
    policy.inputs[1].needs.required = false;
    let mut rig = Rig::new(policy);
    assert_eq!(rig.push(PIVOT, 100, 0), "100:[100][] r0");
    assert_eq!(rig.push(PIVOT, 200, 0), "200:[200][] r0");
    assert_eq!(rig.push(PIVOT, 300, 0), "300:[300][] r0 100:[100][] r0 final again 100x2");
    assert_eq!(rig.push(OTHER, 150, 0), "evicted 150 stream-items");
    assert_eq!(rig.push(PIVOT, 400, 0), "400:[400][] r0 200:[200][] r0 final again 200x2");
}

#[test]
fn an_arriving_sample_is_refused_unless_it_makes_room_itself() {
    let mut rig = with_pivot(WINDOW, items(2, Overflow::DropNewest));
    rig.push(PIVOT, 100, 0);
    rig.push(PIVOT, 300, 0);
    assert_eq!(rig.push(OTHER, 50, 0), "evicted 50 stream-items");
    assert_eq!(rig.push(OTHER, 250, 0), "100:[100][] 100x1", "there is room once that has closed");
    assert_eq!(rig.push(PIVOT, 400, 0), "evicted 400 stream-items");
    assert_eq!(rig.push(OTHER, 310, 0), "300:[300][250] 300x1 250x1", "their event times count all the same");
}

#[test]
fn exact_closes_whole_sets_or_evicts_the_earliest_sample() {
    let mut rig = without_pivot(Method::Exact, items(2, Overflow::Close));
    rig.push_as(0, 100, 0, 1, 0);
    rig.push_as(0, 200, 0, 2, 0);
    assert_eq!(rig.push_as(0, 300, 0, 3, 0), "100:[1][] 1x1");
    assert_eq!(rig.push_as(1, 100, 0, 4, 0), "late 4 by 1");
    assert_eq!(rig.push_as(1, 200, 0, 5, 0), "200:[2][5] 2x1 5x1");

    let mut rig = without_pivot(Method::Exact, items(2, Overflow::DropOldest));
    rig.push_as(0, 100, 0, 1, 0);
    rig.push_as(0, 200, 0, 2, 0);
    assert_eq!(rig.push_as(0, 300, 0, 3, 0), "evicted 1 stream-items");
    assert_eq!(rig.push_as(1, 100, 0, 4, 0), "100:[][4] 4x1", "no set has closed: it is not late");
    assert_eq!(rig.push_as(0, 400, 0, 5, 0), "evicted 2 stream-items");
    assert_eq!(rig.push_as(1, 300, 0, 6, 0), "300:[3][6] 3x1 6x1");
}

#[test]
fn approximate_time_makes_a_set_or_evicts_the_earliest_sample() {
    let method =
        Method::ApproximateTime(ApproximateTime { max_interval: Some(ms(20)), ..Default::default() });
    let mut rig = without_pivot(method.clone(), items(3, Overflow::Close));
    rig.push(0, 100, 0);
    rig.push(0, 200, 0);
    assert_eq!(rig.push(1, 190, 0), "100x0", "nothing can be near it");
    rig.push(0, 215, 0);
    assert_eq!(rig.push(0, 230, 0), "200:[200][190] 200x1 190x1");
    rig.push(0, 300, 0);
    assert_eq!(
        rig.push(0, 400, 0),
        "215:[215][] 215x1",
        "one of which nothing is known makes a set of its own"
    );

    let mut rig = without_pivot(method, items(2, Overflow::DropOldest));
    rig.push(0, 100, 0);
    rig.push(0, 110, 0);
    assert_eq!(rig.push(0, 120, 0), "evicted 100 stream-items");
}

#[test]
fn spans_close_or_lose_their_earliest_sample() {
    let tumbling = Method::Tumbling { size: ms(100) };
    let mut rig = without_pivot(tumbling.clone(), items(2, Overflow::Close));
    rig.push(0, 10, 0);
    rig.push(0, 20, 0);
    assert_eq!(rig.push(0, 30, 0), "0:[10, 20, 30][] 10x1 20x1 30x1");
    assert_eq!(rig.push(0, 40, 0), "late 40 by 60000000");
    rig.push_as(0, 150, 200, 1, 0);
    rig.push_as(0, 160, 0, 2, 0);
    assert_eq!(rig.push_as(0, 170, 0, 3, 0), "100:[1, 2, 3][] 2x1 3x1");
    rig.push_as(0, 250, 0, 4, 0);

    let mut rig = without_pivot(tumbling, items(2, Overflow::DropOldest));
    rig.push(0, 90, 0);
    rig.push(0, 120, 0);
    assert_eq!(rig.push(0, 130, 0), "evicted 90 stream-items");
    assert_eq!(rig.finish(0), "100:[120, 130][] 120x1 130x1", "nothing is left in the span before");
}

#[test]
fn a_session_splits_when_its_connecting_sample_is_evicted() {
    let session = Method::Session { gap: ms(20), max: ms(1_000) };
    let mut rig = without_pivot(session, items(4, Overflow::DropOldest));
    rig.push_as(0, 0, 100, 1, 0);
    rig.push(0, 20, 0);
    rig.push(0, 30, 0);
    rig.push(0, 90, 0);
    assert_eq!(rig.push(0, 105, 0), "evicted 1 stream-items");
    assert_eq!(rig.finish(0), "20:[20, 30][] 20x1 30x1 90:[90, 105][] 90x1 105x1");
}

#[test]
fn the_largest_stream_loses_samples_to_bounds_over_all() {
    let bounds = Bounds { items: Some(10), ..Bounds::default() };
    let mut rig = with_pivot(WINDOW, bounds);
    for stream in ["quiet", "calm"] {
        rig.give_to(stream, OTHER, 500, 0, 500, 0);
    }
    for time in 0..100 {
        rig.give_to("flood", OTHER, time, 0, 7, 0);
    }
    assert_eq!((rig.aligner.buffered(), rig.aligner.streams()), (10, 3));
    assert_eq!(rig.emitted(), vec!["evicted 7 items"; 92].join(" "));
    // Now by weight: a few samples may weigh much.
    let bounds = Bounds { bytes: Some(1_000), ..Bounds::default() };
    let mut rig = with_pivot(WINDOW, bounds);
    rig.give_to("heavy", OTHER, 500, 0, 900, 0);
    for time in 0..101 {
        rig.give_to("light", OTHER, time, 0, 1, 0);
    }
    assert_eq!(rig.emitted(), "evicted 900 bytes");
}

#[test]
fn the_deadline_of_a_stream_that_evicts_for_another_is_kept() {
    let bounds = Bounds { items: Some(3), ..Bounds::default() };
    let mut rig = with_pivot(WINDOW, bounds);
    rig.give_to("one", PIVOT, 100, 0, 1, 0);
    rig.give_to("one", PIVOT, 200, 0, 2, 0);
    rig.give_to("one", PIVOT, 300, 0, 3, 0);
    rig.give_to("other", PIVOT, 100, 0, 4, 0);
    assert_eq!(rig.emitted(), "100:[1][] 1x1");
    assert_eq!(rig.due(), Some(100));
    assert_eq!(rig.tick(100), "200:[2][] 2x1 300:[3][] 3x1 100:[4][] 4x1");
}

/// Pivots that wait for two others. One may bring a near sample long before; the other matches at a large distance.
fn with_two_others(bounds: Bounds) -> Rig {
    let nearest = |tolerance| Join::Nearest { tolerance: ms(tolerance), reuse: true };
    let mut policy = policy(Method::Pivot(InputId(PIVOT)), nearest(100), bounds);
    policy.inputs.push(InputPolicy { join: nearest(10), ..policy.inputs[1].clone() });
    policy.inputs[1].out_of_orderness = ms(500);
    Rig::new(policy)
}

#[test]
fn the_bundle_after_a_forced_close_closes_at_once_if_it_can() {
    let mut rig = with_two_others(items(4, Overflow::Close));
    rig.push(2, 290, 0);
    rig.push(OTHER, 200, 0);
    rig.push(PIVOT, 100, 0);
    assert_eq!(rig.push(PIVOT, 200, 0), "");
    let emitted = rig.push(PIVOT, 300, 0);
    assert_eq!(emitted, "100:[100][200][] 100x1 200:[200][200][] 200x1");
}

#[test]
fn the_bundle_after_a_forced_close_may_be_due_earlier() {
    let mut rig = with_two_others(items(4, Overflow::Close));
    rig.push(2, 150, 0);
    rig.push(OTHER, 200, 50);
    rig.push(PIVOT, 100, 50);
    assert_eq!(rig.push(PIVOT, 200, 50), "");
    assert_eq!(rig.due(), Some(150), "when the first of the others is idle");
    assert_eq!(rig.push(PIVOT, 300, 50), "100:[100][200][] 100x1 150x0");
    assert_eq!(rig.due(), Some(100), "when the second is, which the next bundle waits for");
}

#[test]
fn a_clock_step_is_believed_under_the_tightest_bounds() {
    let mut policy = policy(Method::Pivot(InputId(PIVOT)), WINDOW, items(1, Overflow::Close));
    policy.inputs.truncate(1);
    policy.inputs[0].clock.epoch_after = Some(ms(1_000));
    let mut rig = Rig::new(policy);
    rig.push(PIVOT, 100_000, 0);
    assert_eq!(rig.push(PIVOT, 10, 0), "");
    assert_eq!(rig.push(PIVOT, 20, 10), "evicted 20 stream-items");
    assert_eq!(rig.push(PIVOT, 30, 20), "evicted 30 stream-items");
    assert_eq!(rig.tick(1_000), "epoch 100000 to 10 of 0 10:[10] 10x1");
}

#[test]
fn ten_thousand_streams_that_come_and_go_leave_no_memory_behind() {
    let all = Bounds { items: Some(1_000_000), bytes: Some(1 << 40), ..items(5, Overflow::Close) };
    for bounds in [Bounds::default(), all] {
        let mut rig = with_pivot(WINDOW, bounds);
        for stream in 0..10_000 {
            rig.give_to(&format!("s{stream}"), OTHER, 50, 0, 7, 0);
            rig.give_to(&format!("s{stream}"), PIVOT, 100, 0, 7, 0);
        }
        assert_eq!((rig.aligner.streams(), rig.aligner.buffered()), (10_000, 20_000));
        assert!(rig.aligner.capacity() >= 20_000);
        // One stays.
        rig.give_to("s77", PIVOT, 300, 0, 7, 9_000);
        for now in [9_050, 9_100, 10_000, 11_000, 12_000, 18_000] {
            rig.tick(now);
            rig.out = Vec::new();
        }
        assert_eq!((rig.aligner.streams(), rig.aligner.buffered()), (1, 0));
        assert!(rig.aligner.capacity() < 1_000, "room for {}", rig.aligner.capacity());
        rig.give_to("s77", PIVOT, 400, 0, 8, 18_000);
        rig.give_to("new", PIVOT, 400, 0, 9, 18_000);
        assert_eq!(rig.emitted(), "400:[8][] 8x1", "its other input is idle");
        assert_eq!(rig.tick(18_200), "400:[9][] 9x1");
        rig.tick(30_000);
        assert_eq!((rig.aligner.streams(), rig.due()), (0, None));
    }
}

#[test]
fn several_aligners_share_the_bounds_over_all_streams() {
    let bounds = Bounds { items: Some(10), bytes: Some(99), ..items(7, Overflow::DropOldest) };
    let share = bounds.share_of(4);
    assert_eq!(share, Bounds { items: Some(2), bytes: Some(24), ..bounds });
    assert_eq!(Bounds { items: Some(3), ..bounds }.share_of(4).items, Some(1));
    assert_eq!(bounds.share_of(0), bounds);
    assert!(!Bounds::default().share_of(2).is_any());
}
