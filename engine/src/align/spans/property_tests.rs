//! Spans and sessions against a brute-force oracle that has all samples at once and applies the definition.
//!
//! Times are small whole numbers of nanoseconds, so that ties and edges come up all the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::align::{AlignPolicy, Aligner, Event, InputPolicy, Join, Lack, Method, Stamp};
use crate::position::InputId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

const LONG: Duration = Duration::from_secs(3_600);

/// The rule that cuts event time.
#[derive(Clone, Copy, Debug)]
enum Cutting {
    Tumbling { size: i64 },
    Session { gap: i64, max: i64 },
}

/// The lengths of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sound {
    No,
    /// Each as long as the others, so that none fits into a gap that counts as covered.
    WithGaps,
    /// Each overlaps the one before a little, as with stamps that jitter; in order.
    Overlapping,
    /// Any lengths, and some within what others cover.
    Any,
}

#[derive(Clone, Copy, Debug)]
struct Raw {
    time: i64,
    lasts: i64,
    delay: i64,
    /// Its rank in the order of arrival.
    turn: u16,
}

#[derive(Clone, Debug)]
struct InputPlan {
    out_of_orderness: i64,
    sound: Sound,
    raw: Vec<Raw>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Item {
    id: usize,
    input: usize,
    time: i64,
    end: i64,
}

impl crate::align::Held for Item {}

fn cuttings() -> impl Strategy<Value = Cutting> {
    prop_oneof![
        (1..15_i64).prop_map(|size| Cutting::Tumbling { size }),
        (0..7_i64, 1..25_i64).prop_map(|(gap, max)| Cutting::Session { gap, max }),
    ]
}

fn plans() -> impl Strategy<Value = Vec<InputPlan>> {
    let sound = prop_oneof![
        3 => Just(Sound::No),
        2 => Just(Sound::WithGaps),
        2 => Just(Sound::Overlapping),
        2 => Just(Sound::Any),
    ];
    let raw = (-10..50_i64, 0..9_i64, 0..9_i64, any::<u16>());
    let raws = vec(raw.prop_map(|(time, lasts, delay, turn)| Raw { time, lasts, delay, turn }), 0..12);
    let plan = (0..8_i64, sound, raws);
    let plan = plan.prop_map(|(out_of_orderness, sound, raw)| InputPlan { out_of_orderness, sound, raw });
    vec(plan, 1..5)
}

/// The samples in an order of arrival that is within bounds for each input.
fn arrivals(plans: &[InputPlan]) -> Vec<Item> {
    let mut placed = Vec::new();
    let mut id = 0;
    for (input, plan) in plans.iter().enumerate() {
        let mut raw = plan.raw.clone();
        raw.sort_by_key(|raw| raw.time);
        let mut cursor = 0;
        let steady = raw.first().map_or(0, |raw| raw.lasts);
        let mut items: Vec<(i64, u16, Item)> = Vec::new();
        for raw in &raw {
            let delay = raw.delay % (plan.out_of_orderness + 1);
            let (time, end, delay) = match plan.sound {
                Sound::No => (raw.time, raw.time, delay),
                Sound::Any => (raw.time, raw.time + 1 + raw.lasts, delay),
                Sound::WithGaps => {
                    let time = cursor + raw.time.rem_euclid(6);
                    (time, time + 1 + steady, delay)
                }
                Sound::Overlapping => {
                    let time = cursor - raw.time.rem_euclid(3);
                    (time, time + 5 + raw.lasts, 0)
                }
            };
            cursor = end;
            let turn = if plan.sound == Sound::Overlapping { 0 } else { raw.turn };
            items.push((time + delay, turn, Item { id, input, time, end }));
            id += 1;
        }
        items.sort_by_key(|(due, turn, item)| (*due, *turn, item.id));
        let mut turns: Vec<u16> = raw.iter().map(|raw| raw.turn).collect();
        turns.sort_unstable();
        placed.extend(turns.into_iter().zip(items).map(|(turn, (_, _, item))| (turn, item)));
    }
    placed.sort_by_key(|(turn, _)| *turn);
    placed.into_iter().map(|(_, item)| item).collect()
}

fn is_in(item: &Item, from: i64, to: i64) -> bool {
    if item.end > item.time { item.time < to && item.end > from } else { (from..to).contains(&item.time) }
}

/// The first span after `floor`, by the definition.
fn next_span(cutting: Cutting, items: &[Item], floor: i64) -> Option<(i64, i64)> {
    let mut left: Vec<(i64, i64)> = items
        .iter()
        .filter(|item| is_in(item, floor, i64::MAX))
        .map(|item| (item.time.max(floor), item.end))
        .collect();
    left.sort_unstable();
    let (begin, _) = *left.first()?;
    match cutting {
        Cutting::Tumbling { size } => {
            let from = begin.div_euclid(size) * size;
            Some((from, from + size))
        }
        Cutting::Session { gap, max } => {
            let (mut end, mut over) = (begin, begin);
            for (time, its_end) in left {
                if time - end > gap || time >= begin + max {
                    break;
                }
                end = end.max(its_end);
                over = over.max(its_end).max(time + 1);
            }
            Some((begin, over.min(begin + max)))
        }
    }
}

/// The shape of a part. For samples without length it is their ids by event time, for samples that last the covered
/// cells.
fn shape(plan: &InputPlan, input: usize, items: &[Item], (from, to): (i64, i64)) -> Vec<i64> {
    let of = || items.iter().filter(|item| item.input == input && is_in(item, from, to));
    if plan.sound == Sound::No {
        let mut all: Vec<&Item> = of().collect();
        all.sort_by_key(|item| item.time);
        return all.iter().map(|item| i64::try_from(item.id).expect("few")).collect();
    }
    (from..to).filter(|cell| of().any(|item| item.time <= *cell && *cell < item.end)).collect()
}

/// The result of [`shape`]. For samples that last it includes the cells between two samples of the span of which one lasts
/// longer than the gap after it, if that ends no session.
fn covered(
    plan: &InputPlan,
    input: usize,
    items: &[Item],
    (from, to): (i64, i64),
    cutting: Cutting,
) -> Vec<i64> {
    let most = match cutting {
        Cutting::Tumbling { .. } => 1_000_000,
        Cutting::Session { gap, .. } => gap,
    };
    let shape = shape(plan, input, items, (from, to));
    if plan.sound == Sound::No {
        return shape;
    }
    let of = || items.iter().filter(|item| item.input == input && is_in(item, from, to));
    let bridges = |a: &Item, b: &Item, cell: i64| {
        a.end <= cell && cell < b.time && b.time - a.end < (a.end - a.time).min(most + 1)
    };
    let bridged = |cell: i64| of().any(|a| of().any(|b| bridges(a, b, cell)));
    (from..to).filter(|cell| shape.contains(cell) || bridged(*cell)).collect()
}

/// Returns true if a single future sample would change the first span after `floor`. Tries all of them.
fn can_change(plans: &[InputPlan], cutting: Cutting, seen: &[Item], floor: i64) -> bool {
    let Some(span) = next_span(cutting, seen, floor) else { return true };
    let mut inputs = plans.iter().enumerate();
    inputs.any(|(input, plan)| can_change_it((plan, input), cutting, seen, floor, span))
}

/// Returns true if a single future sample of an input would.
fn can_change_it(
    (plan, input): (&InputPlan, usize),
    cutting: Cutting,
    seen: &[Item],
    floor: i64,
    span: (i64, i64),
) -> bool {
    let reach = match cutting {
        Cutting::Tumbling { .. } => 1,
        Cutting::Session { gap, .. } => gap + 2,
    };
    let latest = seen.iter().filter(|item| item.input == input).map(|item| item.time).max();
    let watermark = latest.map_or(-60, |latest| latest - plan.out_of_orderness);
    let lengths: &[i64] = if plan.sound == Sound::No { &[0] } else { &[1, 6] };
    (watermark..span.1 + reach).any(|time| {
        lengths.iter().any(|lasts| {
            let mut more = seen.to_vec();
            more.push(Item { id: 10_000, input, time, end: time + lasts });
            next_span(cutting, &more, floor) != Some(span)
                || covered(plan, input, &more, span, cutting) != covered(plan, input, seen, span, cutting)
        })
    })
}

fn policy(plans: &[InputPlan], cutting: Cutting) -> AlignPolicy {
    let ns = |ns: i64| Duration::from_nanos(u64::try_from(ns).expect("not negative"));
    let input = |plan: &InputPlan| InputPolicy {
        out_of_orderness: ns(plan.out_of_orderness),
        idle_timeout: LONG,
        ..InputPolicy::new("an input", Join::Pivot)
    };
    AlignPolicy {
        max_wait: LONG,
        forget_after: LONG,
        ..AlignPolicy::new(
            match cutting {
                Cutting::Tumbling { size } => Method::Tumbling { size: ns(size) },
                Cutting::Session { gap, max } => Method::Session { gap: ns(gap), max: ns(max) },
            },
            plans.iter().map(input).collect(),
        )
    }
}

/// Runs one order of arrival and checks all rules after each step.
fn check(plans: &[InputPlan], cutting: Cutting) -> Result<(), TestCaseError> {
    let items = arrivals(plans);
    let mut aligner = Aligner::new(Arc::new(policy(plans, cutting)));
    let (stream, now) = (StreamKey::from("s"), Timestamp::from_nanos(0));
    let mut floor = -1_000_000;
    let mut out = Vec::new();
    let mut ended: BTreeMap<usize, u32> = BTreeMap::new();
    let mut uses: BTreeMap<usize, u32> = BTreeMap::new();

    for step in 0..=items.len() {
        if let Some(item) = items.get(step) {
            let lasts = Duration::from_nanos(u64::try_from(item.end - item.time).expect("not negative"));
            let stamp = Stamp::new(Timestamp::from_nanos(item.time), lasts);
            let input = InputId(u16::try_from(item.input).expect("few"));
            aligner.push(&stream, input, stamp, *item, now, &mut out);
        } else {
            aligner.finish(now, &mut out);
        }
        let seen = items.get(..=step).unwrap_or(&items);
        for event in out.drain(..) {
            match event {
                Event::Bundle(bundle) => {
                    let Some((from, to)) = next_span(cutting, &items, floor) else {
                        return Err(TestCaseError::fail("one too many"));
                    };
                    prop_assert_eq!(bundle.event_time.as_nanos(), from);
                    let guess = step < items.len() && can_change(plans, cutting, seen, floor);
                    prop_assert!(!guess, "{from} closed on a guess");
                    for (input, (part, plan)) in bundle.parts.iter().zip(plans).enumerate() {
                        // At the end more might have come.
                        let is_cut = step == items.len()
                            && can_change_it((plan, input), cutting, seen, floor, (from, to));
                        let lack = match (is_cut, part.samples.is_empty(), part.coverage) {
                            (true, ..) => Some(Lack::Idle),
                            (_, true, _) => Some(Lack::Missing),
                            (.., Some(share)) if share < 1.0 => Some(Lack::MinCoverage),
                            _ => None,
                        };
                        let said = bundle.incomplete.iter().find(|said| said.input.index() == input);
                        prop_assert_eq!(said.map(|said| said.lack), lack, "input {} from {}", input, from);
                        prop_assert_eq!((part.from.as_nanos(), part.to.as_nanos()), (from, to));
                        // A sample in a gap that counts as covered may be too late.
                        let there = if plan.sound == Sound::Any { seen } else { &items };
                        let wanted = shape(plan, input, there, (from, to));
                        prop_assert_eq!(&shape(plan, input, &part.samples, (from, to)), &wanted);
                        for item in &part.samples {
                            prop_assert!(
                                item.input == input && is_in(item, from, to),
                                "{item:?} does not belong"
                            );
                            prop_assert!(!ended.contains_key(&item.id), "{item:?} is used after its end");
                            *uses.entry(item.id).or_default() += 1;
                        }
                        prop_assert!(part.samples.is_sorted_by_key(|item| item.time));
                        if plan.sound == Sound::No {
                            prop_assert_eq!(part.samples.len(), wanted.len());
                            prop_assert_eq!(part.coverage, None);
                            continue;
                        }
                        let covered = covered(plan, input, &items, (from, to), cutting).len() as f64;
                        let share = covered / (to - from) as f64;
                        prop_assert_eq!(part.coverage, (!wanted.is_empty()).then_some(share));
                        for spare in &part.samples {
                            let rest: Vec<Item> =
                                part.samples.iter().copied().filter(|item| item != spare).collect();
                            let needed = shape(plan, input, &rest, (from, to)) != wanted;
                            prop_assert!(needed, "{spare:?} is not needed");
                        }
                    }
                    floor = to;
                }
                Event::Released { item, used } => {
                    prop_assert!(ended.insert(item.id, used).is_none(), "{item:?} ended twice");
                }
                Event::Late { item, .. } => {
                    prop_assert!(plans[item.input].sound == Sound::Any, "{item:?} is late");
                    prop_assert!(item.end <= floor, "{item:?} could take part");
                    prop_assert!(ended.insert(item.id, 0).is_none(), "{item:?} ended twice");
                }
                other => prop_assert!(false, "unexpected: {other:?}"),
            }
        }
        if step == items.len() {
            break;
        }
        prop_assert!(can_change(plans, cutting, seen, floor), "it could have closed after step {step}");
        let held: Vec<&Item> = seen.iter().filter(|item| !ended.contains_key(&item.id)).collect();
        prop_assert!(held.iter().all(|item| is_in(item, floor, i64::MAX)), "held for nothing");
        prop_assert_eq!(aligner.buffered(), held.len());
    }
    prop_assert_eq!(next_span(cutting, &items, floor), None);
    for item in &items {
        prop_assert_eq!(ended.get(&item.id), Some(uses.get(&item.id).unwrap_or(&0)), "{:?}", item);
    }
    Ok(())
}

/// A span that is open after these events, though its time was over at `since`, by the arrival of its first sample.
fn overdue(
    cutting: Cutting,
    seen: &[(Item, i64)],
    emitted: &[Event<Item>],
    since: i64,
) -> Option<(i64, i64)> {
    let mut floor = emitted.iter().rev().find_map(|event| match event {
        Event::Bundle(bundle) => Some(bundle.parts[0].to.as_nanos()),
        _ => None,
    });
    let items: Vec<Item> = seen.iter().map(|(item, _)| *item).collect();
    while let Some((from, to)) = next_span(cutting, &items, floor.unwrap_or(-1_000_000)) {
        let of = || seen.iter().filter(|(item, _)| is_in(item, from, to));
        let over = match cutting {
            Cutting::Tumbling { .. } => to,
            Cutting::Session { gap, max } => {
                (of().map(|(item, _)| item.end).max().unwrap_or(to) + gap + 1).min(from + max)
            }
        };
        if of().any(|(item, arrived)| over + arrived - item.time <= since) {
            return Some((from, to));
        }
        floor = Some(to);
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spans_match_the_definition_in_any_order_as_early_as_possible(
        plans in plans(),
        cutting in cuttings(),
    ) {
        check(&plans, cutting)?;
    }

    #[test]
    fn deadlines_are_never_late_and_samples_end_once_with_timers(
        plans in plans(),
        cutting in cuttings(),
        (idle, wait) in (1..40_u64, 1..40_u64),
        pauses in vec(0..8_i64, 48),
    ) {
        let mut policy = policy(&plans, cutting);
        policy.max_wait = Duration::from_nanos(wait);
        policy.inputs.iter_mut().for_each(|input| input.idle_timeout = Duration::from_nanos(idle));
        let policy = Arc::new(policy);
        let at = Timestamp::from_nanos;
        // One aligner ticks all the time, the other at its deadlines.
        let (mut eager, mut lazy) = (Aligner::new(policy.clone()), Aligner::new(policy));
        let (mut all, mut emitted) = (Vec::new(), Vec::new());
        let (stream, mut now, mut seen) = (StreamKey::from("s"), 0, Vec::new());
        let items = arrivals(&plans);
        for (item, pause) in items.iter().zip(&pauses) {
            for now in now..=now + pause {
                eager.tick(at(now), &mut all);
                let late = overdue(cutting, &seen, &all, now - i64::try_from(wait).expect("short"));
                prop_assert_eq!(late, None, "it should have closed at {}", now);
            }
            now += pause;
            seen.push((*item, now));
            while let Some(due) = lazy.next_deadline().filter(|due| *due <= at(now)) {
                lazy.tick(due, &mut emitted);
            }
            let lasts = Duration::from_nanos(u64::try_from(item.end - item.time).expect("not negative"));
            let stamp = Stamp::new(at(item.time), lasts);
            let input = InputId(u16::try_from(item.input).expect("few"));
            eager.push(&stream, input, stamp, *item, at(now), &mut all);
            lazy.push(&stream, input, stamp, *item, at(now), &mut emitted);
            prop_assert_eq!(format!("{all:?}"), format!("{emitted:?}"));
        }
        while let Some(due) = lazy.next_deadline().filter(|due| *due <= at(now + 200)) {
            lazy.tick(due, &mut emitted);
        }
        (now..=now + 200).for_each(|now| eager.tick(at(now), &mut all));
        prop_assert_eq!(format!("{all:?}"), format!("{emitted:?}"));
        prop_assert_eq!(lazy.buffered(), 0, "all are idle");

        let (mut floor, mut uses, mut ended) = (i64::MIN, BTreeMap::new(), 0);
        for event in &all {
            match event {
                Event::Bundle(bundle) => {
                    prop_assert!(bundle.event_time.as_nanos() >= floor, "spans overlap");
                    for part in &bundle.parts {
                        let (from, to) = (part.from.as_nanos(), part.to.as_nanos());
                        prop_assert!(part.samples.iter().all(|item| is_in(item, from, to)));
                        part.samples.iter().for_each(|item| *uses.entry(item.id).or_default() += 1);
                        floor = to;
                    }
                    prop_assert!(bundle.parts.iter().any(|part| !part.samples.is_empty()));
                }
                Event::Released { item, used } => {
                    ended += 1;
                    prop_assert_eq!(uses.remove(&item.id).unwrap_or(0), *used);
                }
                Event::Late { item, .. } => {
                    ended += 1;
                    prop_assert!(!is_in(item, floor, i64::MAX) && !uses.contains_key(&item.id));
                }
                other => prop_assert!(false, "unexpected: {other:?}"),
            }
        }
        prop_assert_eq!((ended, uses.len()), (items.len(), 0));
    }
}
