//! Bundles that close before an input has brought all that it could: they say so, and their outcome stays the same. Times
//! are milliseconds; a sample is a number.

use super::testing::{Rig, quick};
use super::*;
use crate::position::InputId;
use crate::testing::ms;
use crate::time::Timestamp;

const PIVOT: u16 = 0;
const OTHER: u16 = 1;

/// The input beside the first, waiting 1 000; a bundle that lacks anything would be dead-lettered.
fn policy(method: Method, join: Join, idle: u64) -> AlignPolicy {
    let mut policy = quick(method, [Join::Pivot, join]);
    for input in &mut policy.inputs {
        input.idle_timeout = ms(idle);
        input.missing = Missing::DeadLetter;
    }
    AlignPolicy { forget_after: ms(100_000), ..policy }
}

fn joins() -> [Join; 5] {
    [
        Join::Window { before: ms(50), after: ms(50) },
        Join::Nearest { tolerance: ms(50), reuse: true },
        Join::Nearest { tolerance: ms(50), reuse: false },
        Join::AllBetweenPivots { max_age: ms(50) },
        Join::Latest { max_age: ms(50) },
    ]
}

fn is_latest(join: Join) -> bool {
    matches!(join, Join::Latest { .. })
}

/// The reason why the first emitted bundle is incomplete, by input.
fn emitted(rig: &mut Rig) -> Vec<(u16, &'static str)> {
    let bundle = rig.out.iter().find_map(|event| match event {
        Event::Bundle(bundle) => Some(bundle),
        _ => None,
    });
    let bundle = bundle.unwrap_or_else(|| panic!("no bundle but {:?}", rig.out)).clone();
    rig.out.clear();
    assert_eq!(bundle.is_complete(), bundle.incomplete.is_empty());
    bundle.incomplete.iter().map(|it| (it.input.0, it.lack.as_str())).collect()
}

/// A rig with an open pivot at 100 and a sample of the other input at 90 that another might displace or join.
fn open(policy: AlignPolicy) -> Rig {
    let mut rig = Rig::new(policy);
    rig.give(OTHER, 90, 0, 90, 0);
    rig.give(PIVOT, 100, 0, 100, 0);
    assert!(rig.out.is_empty(), "{:?}", rig.out);
    rig
}

fn with_pivot(join: Join, idle: u64) -> AlignPolicy {
    policy(Method::Pivot(InputId(PIVOT)), join, idle)
}

#[test]
fn a_bundle_cut_by_max_wait_names_the_inputs_it_waited_for() {
    for join in joins() {
        let mut rig = open(with_pivot(join, 50_000));
        rig.aligner.tick(Timestamp::from_millis(1_000), &mut rig.out);
        assert_eq!(emitted(&mut rig), [(OTHER, "max-wait")], "{join:?}");
    }
}

#[test]
fn a_bundle_cut_by_overflow_names_the_inputs_it_waited_for() {
    for join in joins() {
        let mut policy = with_pivot(join, 50_000);
        policy.bounds.stream_items = Some(2);
        let mut rig = open(policy);
        rig.give(PIVOT, 110, 0, 110, 1);
        assert_eq!(emitted(&mut rig), [(OTHER, "overflow")], "{join:?}");
    }
}

#[test]
fn a_bundle_names_its_idle_inputs_unless_their_latest_is_asked() {
    for join in joins() {
        let expected: &[_] = if is_latest(join) { &[] } else { &[(OTHER, "idle")] };
        let mut rig = open(with_pivot(join, 100));
        rig.aligner.tick(Timestamp::from_millis(100), &mut rig.out);
        assert_eq!(emitted(&mut rig), expected, "{join:?}");
        let mut rig = open(with_pivot(join, 50_000));
        rig.aligner.finish(Timestamp::from_millis(1), &mut rig.out);
        assert_eq!(emitted(&mut rig), expected, "at the end, {join:?}");
    }
}

#[test]
fn a_bundle_cut_for_one_input_does_not_name_a_settled_one() {
    for join in joins() {
        let mut policy = with_pivot(join, 50_000);
        policy.inputs.push(policy.inputs[1].clone());
        let mut rig = open(policy);
        rig.give(OTHER, 200, 0, 200, 0);
        rig.give(2, 95, 0, 95, 0);
        rig.aligner.tick(Timestamp::from_millis(1_000), &mut rig.out);
        assert_eq!(emitted(&mut rig), [(2, "max-wait")], "{join:?}");
    }
}

#[test]
fn a_cut_bundle_names_neither_optional_nor_held_inputs() {
    for join in joins() {
        let mut policy = with_pivot(join, 50_000);
        policy.inputs[1].needs.required = false;
        policy.inputs[1].missing = Missing::Emit;
        let mut rig = open(policy);
        rig.aligner.tick(Timestamp::from_millis(1_000), &mut rig.out);
        assert_eq!(emitted(&mut rig), [], "{join:?}");
    }
    let mut policy = with_pivot(Join::Nearest { tolerance: ms(5), reuse: true }, 50_000);
    policy.inputs[1].missing = Missing::Hold { max_age: ms(50) };
    let mut rig = open(policy);
    rig.aligner.tick(Timestamp::from_millis(1_000), &mut rig.out);
    assert_eq!(emitted(&mut rig), []);
}

#[test]
fn a_span_that_is_cut_short_says_so() {
    let methods = [Method::Tumbling { size: ms(200) }, Method::Session { gap: ms(50), max: ms(10_000) }];
    for method in methods {
        let given = |idle| open(policy(method.clone(), Join::Pivot, idle));
        let mut rig = given(50_000);
        rig.aligner.tick(Timestamp::from_millis(5_000), &mut rig.out);
        assert_eq!(emitted(&mut rig), [(PIVOT, "max-wait"), (OTHER, "max-wait")], "{method:?}");
        let mut rig = given(100);
        rig.aligner.tick(Timestamp::from_millis(100), &mut rig.out);
        assert_eq!(emitted(&mut rig), [(PIVOT, "idle"), (OTHER, "idle")], "{method:?}");
        let mut rig = given(50_000);
        rig.give(PIVOT, 300, 0, 1, 1);
        rig.aligner.tick(Timestamp::from_millis(1_350), &mut rig.out);
        assert_eq!(emitted(&mut rig), [(OTHER, "max-wait")], "the first had gone on, {method:?}");
    }
}

#[test]
fn spans_that_close_with_an_overdue_one_are_cut_short_too() {
    let mut rig = Rig::new(policy(Method::Tumbling { size: ms(100) }, Join::Pivot, 50_000));
    // By the arrivals of their samples, the time of the later one ends before that of the earlier one.
    rig.give(PIVOT, 150, 0, 1, 100);
    rig.give(OTHER, 10, 0, 2, 1_000);
    rig.aligner.tick(Timestamp::from_millis(1_150), &mut rig.out);
    assert_eq!(rig.out.iter().filter(|event| matches!(event, Event::DeadLetter { .. })).count(), 2);
    for event in &rig.out {
        let Event::DeadLetter { bundle, .. } = event else { continue };
        let lack = bundle.incomplete.iter().find(|it| it.input.0 == OTHER).map(|it| it.lack);
        assert_eq!(lack, Some(Lack::MaxWait));
    }
}

#[test]
fn an_exact_set_with_all_its_samples_is_never_cut_short() {
    let mut policy = policy(Method::Exact, Join::Pivot, 50_000);
    policy.inputs[0].out_of_orderness = ms(50);
    let mut rig = Rig::new(policy);
    rig.give(PIVOT, 100, 0, 1, 0);
    rig.give(OTHER, 100, 0, 2, 0);
    rig.aligner.tick(Timestamp::from_millis(1_000), &mut rig.out);
    assert_eq!(emitted(&mut rig), []);
}

#[test]
fn an_approximate_set_names_the_input_that_could_improve_it() {
    let approximate = || Method::ApproximateTime(ApproximateTime::default());
    let mut rig = open(policy(approximate(), Join::Pivot, 50_000));
    rig.aligner.tick(Timestamp::from_millis(1_000), &mut rig.out);
    assert_eq!(
        emitted(&mut rig),
        [(OTHER, "max-wait")],
        "one at 100 would lie closer to the first, and none to the second"
    );
    let mut rig = open(policy(approximate(), Join::Pivot, 100));
    rig.aligner.tick(Timestamp::from_millis(100), &mut rig.out);
    assert_eq!(emitted(&mut rig), [(OTHER, "idle")]);
    let mut rig = Rig::new(policy(approximate(), Join::Pivot, 50_000));
    rig.give(PIVOT, 100, 0, 1, 0);
    rig.give(OTHER, 100, 0, 2, 0);
    assert_eq!(emitted(&mut rig), [], "none lies closer");
}

#[test]
fn only_results_on_time_are_cut_short_early_ones_are_not() {
    let rig = |early| {
        let mut policy = with_pivot(Join::Nearest { tolerance: ms(50), reuse: true }, 50_000);
        policy.revise = Revise { allowed_lateness: ms(500), early };
        Rig::new(policy)
    };
    let mut early = rig(true);
    early.give(OTHER, 90, 0, 90, 0);
    early.give(PIVOT, 100, 0, 100, 0);
    assert_eq!(emitted(&mut early), []);
    let mut on_time = rig(false);
    on_time.give(OTHER, 90, 0, 90, 0);
    on_time.give(PIVOT, 100, 0, 100, 0);
    assert!(on_time.out.is_empty());
    on_time.aligner.tick(Timestamp::from_millis(1_000), &mut on_time.out);
    assert_eq!(emitted(&mut on_time), [(OTHER, "max-wait")]);
    on_time.give(OTHER, 700, 0, 7, 1_001);
    on_time.give(PIVOT, 700, 0, 7, 1_001);
    assert_eq!(emitted(&mut on_time), [], "the final bundle had all of it");
}
