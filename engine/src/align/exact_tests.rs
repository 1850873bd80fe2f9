//! The promises of `exact`: by hand in milliseconds, and against a brute-force oracle with times so small that
//! ties and edges come up all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::testing::{Rig, quick};
use super::*;
use crate::position::InputId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

const LONG: Duration = Duration::from_secs(3_600);

/// Exact over inputs with these out-of-ordernesses; idle after 100 ms, waiting 1 s.
fn policy(out_of_orderness: &[Duration]) -> AlignPolicy {
    let mut policy = quick(Method::Exact, vec![Join::Pivot; out_of_orderness.len()]);
    for (input, out_of_orderness) in policy.inputs.iter_mut().zip(out_of_orderness) {
        input.out_of_orderness = *out_of_orderness;
    }
    policy
}

fn in_order(inputs: usize) -> AlignPolicy {
    policy(&vec![Duration::ZERO; inputs])
}

#[test]
fn a_set_closes_with_its_last_sample_when_inputs_are_in_order() {
    let mut rig = Rig::new(in_order(3));
    assert_eq!(rig.push_as(0, 100, 0, 1, 0), "");
    assert_eq!(rig.push_as(2, 100, 0, 3, 0), "");
    assert_eq!(rig.push_as(1, 100, 0, 2, 0), "100:[1][2][3] 1x1 2x1 3x1");
    assert_eq!(rig.aligner.buffered(), 0);
}

#[test]
fn a_set_closes_without_an_input_whose_watermark_is_past_it() {
    let mut rig = Rig::new(in_order(2));
    assert_eq!(rig.push_as(0, 100, 0, 1, 0), "");
    assert_eq!(rig.push_as(1, 101, 0, 2, 0), "100:[1][] 1x1");
    assert_eq!(rig.push_as(0, 101, 0, 3, 0), "101:[3][2] 3x1 2x1");
}

#[test]
fn a_complete_set_waits_for_earlier_open_or_future_sets() {
    let mut rig = Rig::new(in_order(2));
    rig.push_as(0, 100, 0, 1, 0);
    rig.push_as(0, 110, 0, 2, 0);
    assert_eq!(rig.push_as(1, 110, 0, 3, 0), "100:[1][] 1x1 110:[2][3] 2x1 3x1");

    let mut rig = Rig::new(policy(&[Duration::from_millis(20), Duration::ZERO]));
    rig.push_as(0, 110, 0, 1, 0);
    assert_eq!(rig.push_as(1, 110, 0, 2, 0), "", "95 may still come");
    assert_eq!(rig.push_as(0, 95, 0, 3, 0), "", "and 90");
    assert_eq!(rig.push_as(0, 115, 0, 4, 0), "95:[3][] 3x1");
    assert_eq!(rig.push_as(0, 130, 0, 5, 0), "110:[1][2] 1x1 2x1");
}

#[test]
fn a_set_waits_for_no_idle_input_and_at_most_max_wait() {
    let mut rig = Rig::new(in_order(2));
    rig.push_as(0, 100, 0, 1, 0);
    assert_eq!(rig.due(), Some(100));
    assert_eq!(rig.tick(99), "");
    assert_eq!(rig.tick(100), "100:[1][] 1x1");

    let mut rig = Rig::new(policy(&[Duration::ZERO, Duration::from_secs(60)]));
    rig.push_as(0, 200, 0, 1, 100);
    for now in (150..1_100).step_by(50) {
        rig.push_as(1, 300 + now, 0, 2, now);
        assert_eq!(rig.tick(now), "");
    }
    assert_eq!(rig.due(), Some(1_100));
    assert_eq!(rig.tick(1_100), "200:[1][] 1x1");
}

#[test]
fn a_set_that_has_waited_long_enough_closes_earlier_ones() {
    let mut policy = policy(&[Duration::from_millis(20); 2]);
    policy.inputs.iter_mut().for_each(|input| input.idle_timeout = LONG);
    let mut rig = Rig::new(policy);
    rig.push_as(0, 110, 0, 1, 0);
    rig.push_as(0, 100, 0, 2, 500);
    rig.push_as(1, 115, 0, 3, 600);
    assert_eq!(rig.tick(999), "");
    assert_eq!(rig.tick(1_000), "100:[2][] 2x1 110:[1][] 1x1");
    assert_eq!(rig.due(), Some(1_600));
}

#[test]
fn a_second_sample_of_an_input_is_a_duplicate_open_or_closed() {
    let mut rig = Rig::new(in_order(2));
    rig.push_as(0, 100, 0, 1, 0);
    assert_eq!(rig.push_as(0, 100, 0, 2, 0), "duplicate 2");
    rig.push_as(1, 100, 0, 3, 0);
    assert_eq!(rig.push_as(0, 100, 0, 4, 0), "duplicate 4");
}

#[test]
fn a_sample_of_a_set_that_has_closed_without_it_is_late() {
    let mut rig = Rig::new(in_order(2));
    rig.push_as(0, 100, 0, 1, 0);
    rig.tick(100);
    assert_eq!(rig.push_as(1, 100, 0, 2, 110), "late 2 by 1");
    assert_eq!(rig.push_as(1, 99, 0, 3, 110), "late 3 by 1000001");
}

#[test]
fn sets_follow_the_policy_for_missing_and_dead_letters_win() {
    let mut policy = in_order(3);
    policy.inputs[1].missing = Missing::Drop;
    policy.inputs[2].missing = Missing::DeadLetter;
    let mut rig = Rig::new(policy);
    rig.push_as(0, 100, 0, 1, 0);
    assert_eq!(rig.tick(100), "dead 100:[1][][] by 2 1x1");
    assert_eq!(rig.push_as(2, 110, 0, 2, 110), "dropped 110:[][][2] by 1 2x1");
}

#[test]
fn finish_closes_open_sets_and_an_empty_stream_is_forgotten() {
    let mut rig = Rig::new(in_order(2));
    rig.push_as(0, 100, 0, 1, 0);
    rig.push_as(1, 100, 0, 2, 0);
    assert_eq!(rig.due(), Some(100), "set when the first sample came; early, never late");
    rig.tick(100);
    assert_eq!(rig.due(), Some(10_000));
    rig.tick(10_000);
    assert_eq!((rig.aligner.streams(), rig.due()), (0, None));
    rig.push_as(0, 90, 0, 3, 10_000);
    rig.push_as(0, 100, 0, 4, 10_000);
    assert_eq!(rig.aligner.buffered(), 2);
    assert_eq!(rig.finish(10_000), "90:[3][] 3x1 100:[4][] 4x1");
    assert_eq!((rig.aligner.buffered(), rig.aligner.streams(), rig.due()), (0, 0, None));
}

#[test]
fn times_at_the_ends_of_the_range_do_no_harm() {
    let mut rig = Rig::new(in_order(2));
    for input in [1, 0, 1, 0] {
        for time in [Timestamp::MIN, Timestamp::from_nanos(0), Timestamp::MAX, Timestamp::MIN] {
            let stamp = Stamp::new(time, Duration::MAX);
            rig.aligner.push(&"s".into(), InputId(input), stamp, 0, Timestamp::MAX, &mut rig.out);
        }
    }
    rig.aligner.tick(Timestamp::MAX, &mut rig.out);
    rig.aligner.finish(Timestamp::MAX, &mut rig.out);
    assert_eq!(rig.out.iter().filter(|event| event.ended().is_some()).count(), 16);
}

/// A sample before anything is known of the order of arrival; `id` is its own.
#[derive(Clone, Copy, Debug)]
struct Raw {
    id: usize,
    input: usize,
    time: i64,
    delay: i64,
    turn: u16,
}

impl Held for Raw {}

#[derive(Clone, Debug)]
struct Plan {
    out_of_orderness: Vec<i64>,
    raw: Vec<Raw>,
}

fn plans() -> impl Strategy<Value = Plan> {
    (1..5_usize).prop_flat_map(|inputs| {
        let raw = vec((0..inputs, 0..25_i64, 0..9_i64, any::<u16>()), 0..60);
        (vec(0..6_i64, inputs), raw).prop_map(|(out_of_orderness, raw)| Plan {
            out_of_orderness,
            raw: raw
                .into_iter()
                .enumerate()
                .map(|(id, (input, time, delay, turn))| Raw { id, input, time, delay, turn })
                .collect(),
        })
    })
}

/// An order of arrival within bounds for each input: each sample is delayed by no more than its input may be out of
/// order, and inputs are mixed by turns.
fn arrivals(plan: &Plan) -> Vec<Raw> {
    let mut placed = Vec::new();
    for (input, late) in plan.out_of_orderness.iter().enumerate() {
        let mut of: Vec<Raw> = plan.raw.iter().copied().filter(|raw| raw.input == input).collect();
        let mut turns: Vec<u16> = of.iter().map(|raw| raw.turn).collect();
        turns.sort_unstable();
        of.sort_by_key(|raw| (raw.time + raw.delay % (late + 1), raw.turn, raw.id));
        placed.extend(turns.into_iter().zip(of));
    }
    placed.sort_by_key(|(turn, raw)| (*turn, raw.input));
    placed.into_iter().map(|(_, raw)| raw).collect()
}

/// Returns true if a single future sample would change the set at `t` or make one before it. Tries all of them.
fn can_change(plan: &Plan, seen: &[Raw], t: i64) -> bool {
    (0..plan.out_of_orderness.len()).any(|input| {
        let of = || seen.iter().filter(|raw| raw.input == input);
        let watermark =
            of().map(|raw| raw.time).max().map_or(-50, |latest| latest - plan.out_of_orderness[input]);
        let there = of().any(|raw| raw.time == t);
        (watermark..=t).any(|time| time < t || !there)
    })
}

/// The samples of each input by event time: the result by definition when all samples are there at once.
fn definition(plan: &Plan) -> BTreeMap<i64, Vec<bool>> {
    let times: BTreeSet<i64> = plan.raw.iter().map(|raw| raw.time).collect();
    let inputs = 0..plan.out_of_orderness.len();
    let there = |t: i64| {
        inputs.clone().map(move |input| plan.raw.iter().any(|raw| (raw.input, raw.time) == (input, t)))
    };
    times.into_iter().map(|t| (t, there(t).collect())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sets_match_the_definition_in_any_order_as_early_as_possible(
        plan in plans(),
    ) {
        let spans: Vec<Duration> =
            plan.out_of_orderness.iter().map(|ns| Duration::from_nanos(ns.unsigned_abs())).collect();
        let mut policy = policy(&spans);
        policy.max_wait = LONG;
        policy.inputs.iter_mut().for_each(|input| input.idle_timeout = LONG);
        let mut aligner = Aligner::new(Arc::new(policy));
        let (stream, now) = (StreamKey::from("s"), Timestamp::from_nanos(0));
        let (mut bundles, mut ended) = (BTreeMap::new(), BTreeSet::new());
        let (mut out, mut used) = (Vec::new(), BTreeSet::new());
        let items = arrivals(&plan);
        for step in 0..=items.len() {
            if let Some(raw) = items.get(step) {
                let stamp = Stamp::new(Timestamp::from_nanos(raw.time), Duration::ZERO);
                let input = InputId(u16::try_from(raw.input).expect("few"));
                aligner.push(&stream, input, stamp, *raw, now, &mut out);
            } else {
                aligner.finish(now, &mut out);
            }
            let seen = items.get(..=step).unwrap_or(&items);
            for event in out.drain(..) {
                match event {
                    Event::Bundle(bundle) => {
                        let t = bundle.event_time.as_nanos();
                        prop_assert!(bundles.last_key_value().is_none_or(|(last, _)| *last < t), "out of order");
                        prop_assert!(step == items.len() || !can_change(&plan, seen, t), "{t} closed on a guess");
                        for (input, part) in bundle.parts.iter().enumerate() {
                            // Of several the first to arrive.
                            let first = items.iter().find(|raw| (raw.input, raw.time) == (input, t));
                            let got: Vec<usize> = part.samples.iter().map(|raw| raw.id).collect();
                            prop_assert_eq!(&got, &first.iter().map(|raw| raw.id).collect::<Vec<_>>());
                            prop_assert!(got.iter().all(|id| used.insert(*id) && !ended.contains(id)));
                        }
                        bundles.insert(t, bundle.parts.iter().map(|part| !part.samples.is_empty()).collect());
                    }
                    Event::Released { item, used: times } => {
                        prop_assert!(ended.insert(item.id) && times == 1 && used.contains(&item.id));
                    }
                    Event::Duplicate(item) => {
                        prop_assert!(ended.insert(item.id) && !used.contains(&item.id));
                    }
                    other => prop_assert!(false, "unexpected: {other:?}"),
                }
            }
            if step < items.len() {
                let open = seen.iter().map(|raw| raw.time).filter(|t| !bundles.contains_key(t)).min();
                prop_assert!(open.is_none_or(|t| can_change(&plan, seen, t)), "{open:?} could have closed");
                prop_assert_eq!(aligner.buffered(), seen.iter().filter(|raw| !ended.contains(&raw.id)).count());
            }
        }
        prop_assert_eq!(ended.len(), items.len());
        prop_assert_eq!(bundles, definition(&plan));
    }
}
