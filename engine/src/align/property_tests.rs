//! The aligner against a brute-force oracle that has all samples at once and applies the definition.
//!
//! Times are small whole numbers of nanoseconds, so that ties and edges come up all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::position::InputId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

/// One input and its samples, before anything is known of their order of arrival.
#[derive(Clone, Debug)]
struct InputPlan {
    join: Join,
    out_of_orderness: i64,
    sound: Sound,
    /// The largest age at which the last sample is used again.
    hold: Option<i64>,
    needs: Needs,
    raw: Vec<Raw>,
}

#[derive(Clone, Copy, Debug)]
struct Raw {
    time: i64,
    lasts: i64,
    delay: i64,
    /// Its rank in the order of arrival.
    turn: u16,
}

/// The lengths of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sound {
    No,
    /// Each as long as the others, so that none fits into a gap that counts as covered.
    WithGaps,
    /// Each overlaps the one before a little, as with stamps that jitter; in order.
    Overlapping,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Item {
    id: usize,
    input: usize,
    time: i64,
    end: i64,
}

fn spans() -> impl Strategy<Value = Join> {
    let span = || (0..12_u64).prop_map(Duration::from_nanos);
    prop_oneof![
        (span(), span()).prop_map(|(before, after)| Join::Window { before, after }),
        (span(), any::<bool>()).prop_map(|(tolerance, reuse)| Join::Nearest { tolerance, reuse }),
        span().prop_map(|max_age| Join::AllBetweenPivots { max_age }),
        span().prop_map(|max_age| Join::Latest { max_age }),
    ]
}

fn raws() -> impl Strategy<Value = Vec<Raw>> {
    let raw = (0..60_i64, 0..7_i64, 0..9_i64, any::<u16>());
    vec(raw.prop_map(|(time, lasts, delay, turn)| Raw { time, lasts, delay, turn }), 0..25)
}

fn input_plan() -> impl Strategy<Value = InputPlan> {
    let sound = prop_oneof![Just(Sound::No), Just(Sound::WithGaps), Just(Sound::Overlapping)];
    let hold = proptest::option::of(0..25_i64);
    let share = proptest::option::of((0..=4_u8).prop_map(|quarters| f64::from(quarters) / 4.0));
    let needs = (any::<bool>(), 1..4_usize, share).prop_map(|(required, min_count, min_coverage)| Needs {
        required,
        min_count,
        min_coverage,
    });
    (spans(), 0..8_i64, sound, hold, needs, raws()).prop_map(
        |(join, out_of_orderness, sound, hold, needs, raw)| {
            // Only windows use the length of a sample, and none is shorter than chunks overlap.
            let (join, sound) = match (join, sound) {
                (Join::Window { before, after }, Sound::Overlapping) => {
                    (Join::Window { before: before + Duration::from_nanos(3), after }, sound)
                }
                (Join::Window { .. }, sound) => (join, sound),
                _ => (join, Sound::No),
            };
            InputPlan { join, out_of_orderness, sound, hold, needs, raw }
        },
    )
}

fn plans() -> impl Strategy<Value = (Vec<InputPlan>, usize)> {
    vec(input_plan(), 1..5).prop_flat_map(|plans| {
        let inputs = plans.len();
        (Just(plans), 0..inputs)
    })
}

fn policy(plans: &[InputPlan], pivot: usize, revise: Revise) -> AlignPolicy {
    // Final bundles are as if the lateness belonged to the out-of-orderness.
    let late = ns(revise.allowed_lateness);
    let inputs = plans.iter().enumerate().map(|(input, plan)| InputPolicy {
        out_of_orderness: Duration::from_nanos(
            u64::try_from(plan.out_of_orderness - late).expect("not negative"),
        ),
        idle_timeout: Duration::from_secs(3_600),
        missing: match plan.hold {
            Some(age) => Missing::Hold { max_age: Duration::from_nanos(age.unsigned_abs()) },
            None => Missing::Emit,
        },
        needs: plan.needs,
        ..InputPolicy::new(format!("input {input}"), if input == pivot { Join::Pivot } else { plan.join })
    });
    AlignPolicy {
        max_wait: Duration::from_secs(3_600),
        forget_after: Duration::from_secs(3_600),
        revise,
        ..AlignPolicy::new(
            Method::Pivot(InputId(u16::try_from(pivot).expect("few inputs"))),
            inputs.collect(),
        )
    }
}

/// The samples in an order of arrival that is within bounds for each input.
fn arrivals(plans: &[InputPlan], pivot: usize) -> Vec<Item> {
    let mut placed = Vec::new();
    let mut id = 0;
    for (input, plan) in plans.iter().enumerate() {
        let mut raw = plan.raw.clone();
        raw.sort_by_key(|raw| raw.time);
        let mut cursor = 0;
        let steady = raw.first().map_or(0, |raw| raw.lasts);
        let mut items: Vec<(i64, u16, Item)> = Vec::new();
        for raw in &raw {
            let (time, end, delay) = match plan.sound {
                Sound::No => (raw.time, raw.time, raw.delay % (plan.out_of_orderness + 1)),
                _ if input == pivot => (raw.time, raw.time, raw.delay % (plan.out_of_orderness + 1)),
                Sound::WithGaps => {
                    let time = cursor + raw.time % 6;
                    (time, time + 1 + steady, raw.delay % (plan.out_of_orderness + 1))
                }
                Sound::Overlapping => {
                    let time = cursor - raw.time % 3;
                    (time, time + 5 + raw.lasts, 0)
                }
            };
            cursor = end;
            items.push((time + delay, raw.turn, Item { id, input, time, end }));
            id += 1;
        }
        items.sort_by_key(|(due, turn, item)| {
            (*due, if plan.sound == Sound::Overlapping { 0 } else { *turn }, item.id)
        });
        let mut turns: Vec<u16> = items.iter().map(|(_, turn, _)| *turn).collect();
        turns.sort_unstable();
        placed.extend(turns.into_iter().zip(items).map(|(turn, (_, _, item))| (turn, item)));
    }
    placed.sort_by_key(|(turn, _)| *turn);
    placed.into_iter().map(|(_, item)| item).collect()
}

fn ns(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).expect("short")
}

/// The ids of the samples of one input that a pivot at `t` gets, by event time. `samples` are in the order of arrival.
/// `before` has the times of all pivots before it, in order. For sound the result has only the covered cells of the window
/// and the least number of samples that cover them.
fn pick(join: Join, samples: &[Item], before: &[i64], t: i64) -> Vec<usize> {
    let mut sorted = samples.to_vec();
    sorted.sort_by_key(|item| item.time);
    match join {
        Join::Window { before, after } => {
            let (from, to) = (t - ns(before), t + ns(after));
            let overlaps = |item: &&Item| {
                if item.end > item.time {
                    from < to && item.time < to && item.end > from
                } else {
                    (from..to).contains(&item.time)
                }
            };
            sorted.iter().filter(overlaps).map(|item| item.id).collect()
        }
        Join::Nearest { tolerance, reuse } => {
            let nearest = |taken: &[usize], t: i64| {
                let near = sorted.iter().filter(|item| (item.time - t).abs() <= ns(tolerance));
                near.filter(|item| !taken.contains(&item.id))
                    .min_by_key(|item| ((item.time - t).abs(), item.time))
                    .map(|item| item.id)
            };
            let mut taken = Vec::new();
            if !reuse {
                before.iter().for_each(|t| taken.extend(nearest(&taken, *t)));
            }
            nearest(&taken, t).into_iter().collect()
        }
        Join::AllBetweenPivots { max_age } => {
            let in_it = |item: &&Item| match before.last() {
                Some(before) => (before + 1..=t).contains(&item.time),
                None => (t - ns(max_age)..=t).contains(&item.time),
            };
            sorted.iter().filter(in_it).map(|item| item.id).collect()
        }
        Join::Latest { max_age } => {
            let old = sorted.iter().rev().filter(|item| item.time <= t && t - item.time <= ns(max_age));
            // Of equal times the first to arrive, which `rev` has put last.
            let mut best: Option<&Item> = None;
            for item in old {
                if best.is_none_or(|best| item.time >= best.time) {
                    best = Some(item);
                }
            }
            best.map(|item| item.id).into_iter().collect()
        }
        Join::Pivot => sorted.iter().find(|item| item.time == t).map(|item| item.id).into_iter().collect(),
    }
}

/// The result of [`pick`], or if that is empty and the plan holds values, the last sample at or before `t`; true if so.
fn find(plan: &InputPlan, join: Join, samples: &[Item], before: &[i64], t: i64) -> (Vec<usize>, bool) {
    let picked = pick(join, samples, before, t);
    let Some(age) = plan.hold.filter(|_| picked.is_empty() && join != Join::Pivot) else {
        return (picked, false);
    };
    let old = samples.iter().rev().filter(|item| (t - age..=t).contains(&item.time));
    // Of equal times the first to arrive, which `rev` has put last.
    let last = old.max_by_key(|item| item.time).map(|item| item.id);
    (last.into_iter().collect(), last.is_some())
}

/// The lack of a bundle in an input that brought `count` samples and covers `share` of its window.
fn lack(needs: Needs, count: usize, share: Option<f64>) -> Option<Lack> {
    match (count, share) {
        _ if !needs.required => None,
        (0, _) => Some(Lack::Missing),
        (count, _) if count < needs.min_count => Some(Lack::MinCount),
        (_, Some(share)) if share < needs.min_coverage.unwrap_or(1.0) => Some(Lack::MinCoverage),
        _ => None,
    }
}

/// The cells of the window that samples cover.
fn cells(join: Join, samples: &[Item], t: i64) -> Vec<i64> {
    let Join::Window { before, after } = join else { return Vec::new() };
    (t - ns(before)..t + ns(after))
        .filter(|cell| samples.iter().any(|item| item.time <= *cell && *cell < item.end))
        .collect()
}

/// The result of [`cells`], with those between two samples of the window of which one lasts longer than the gap after it.
fn covered_cells(join: Join, samples: &[Item], t: i64) -> Vec<i64> {
    let Join::Window { before, after } = join else { return Vec::new() };
    let (from, to) = (t - ns(before), t + ns(after));
    let lasting: Vec<&Item> =
        samples.iter().filter(|item| item.end > item.time && item.time < to && item.end > from).collect();
    let bridges = |a: &Item, b: &Item, cell: i64| {
        a.end <= cell && cell < b.time && b.time - a.end < (a.end - a.time).min(1_000_001)
    };
    let bridged = |cell: i64| lasting.iter().any(|a| lasting.iter().any(|b| bridges(a, b, cell)));
    let cells = cells(join, samples, t);
    (from..to).filter(|cell| cells.contains(cell) || bridged(*cell)).collect()
}

/// Returns true if no future sample can change the result of a pivot at `t`. Tries samples of one time.
fn settled(plan: &InputPlan, join: Join, samples: &[Item], before: &[i64], t: i64) -> bool {
    let watermark = samples.iter().map(|item| item.time).max().map_or(-50, |max| max - plan.out_of_orderness);
    if join == Join::Pivot {
        return watermark >= t;
    }
    if let Join::Window { before, after } = join
        && plan.sound != Sound::No
    {
        // Future samples begin at the watermark or later: a gap before it stays. See `window_property_tests.rs`.
        let left = watermark.max(t - ns(before));
        let covered = covered_cells(join, samples, t).into_iter().filter(|cell| *cell >= left).count();
        let exact = samples.iter().any(|item| item.time == t);
        let known = plan.hold.is_none() || watermark > t || exact || !pick(join, samples, &[], t).is_empty();
        return known && (watermark >= t + ns(after) || covered as i64 == t + ns(after) - left);
    }
    // Samples that are used once may first go to the pivots before. Which of several of one time they leave is no matter.
    let is_used_once = matches!(join, Join::Nearest { reuse: false, .. });
    let copies = if is_used_once { 1 + before.len() } else { 1 };
    let found = |samples: &[Item]| {
        let (ids, held) = find(plan, join, samples, before, t);
        let known = |id: usize| samples.iter().find(|item| is_used_once && item.id == id);
        let name = |id: usize| known(id).map_or((0, id), |item| (item.time, 0));
        (ids.into_iter().map(name).collect::<Vec<_>>(), held)
    };
    let now = found(samples);
    (watermark..100).all(|time| {
        let more = (0..copies).map(|copy| Item { id: usize::MAX - copy, input: 0, time, end: time });
        found(&samples.iter().copied().chain(more).collect::<Vec<_>>()) == now
    })
}

/// The ids of each input, and whether they are held.
type Parts = Vec<(Vec<usize>, bool)>;

struct Run {
    /// The ids of each input, by pivot time.
    bundles: BTreeMap<i64, Vec<Vec<usize>>>,
}

/// Runs one order of arrival and checks all rules after each step.
fn check(plans: &[InputPlan], pivot: usize, revise: Revise) -> Result<Run, TestCaseError> {
    let policy = policy(plans, pivot, revise);
    let on_time: Vec<InputPlan> = plans
        .iter()
        .map(|plan| {
            let out_of_orderness = plan.out_of_orderness - ns(revise.allowed_lateness);
            InputPlan { out_of_orderness, ..plan.clone() }
        })
        .collect();
    // By pivot time: the number of results, and the ids and held flag of each input in the last.
    let mut ahead: BTreeMap<i64, (u32, Parts)> = BTreeMap::new();
    let joins: Vec<Join> = policy.inputs.iter().map(|input| input.join).collect();
    let items = arrivals(plans, pivot);
    let all_of =
        |input: usize| -> Vec<Item> { items.iter().copied().filter(|item| item.input == input).collect() };
    let mut aligner = Aligner::new(Arc::new(policy));
    let (stream, now) = (StreamKey::from("s"), Timestamp::from_nanos(0));
    let mut out = Vec::new();
    let mut seen: Vec<Vec<Item>> = vec![Vec::new(); plans.len()];
    let mut bundles = BTreeMap::new();
    let mut ended: BTreeMap<usize, Option<u32>> = BTreeMap::new();
    let mut uses: BTreeMap<usize, u32> = BTreeMap::new();
    let mut taken = BTreeSet::new();

    for step in 0..=items.len() {
        if let Some(item) = items.get(step) {
            let lasts = Duration::from_nanos(u64::try_from(item.end - item.time).expect("not negative"));
            let stamp = Stamp::new(Timestamp::from_nanos(item.time), lasts);
            let input = InputId(u16::try_from(item.input).expect("few"));
            aligner.push(&stream, input, stamp, item.id, now, &mut out);
            seen[item.input].push(*item);
        } else {
            aligner.finish(now, &mut out);
        }
        for event in out.drain(..) {
            match event {
                Event::Bundle(bundle) if !bundle.is_final => {
                    let t = bundle.event_time.as_nanos();
                    prop_assert!(!bundles.contains_key(&t), "emitted after it was final");
                    let ids: Parts =
                        bundle.parts.iter().map(|part| (part.samples.to_vec(), part.held)).collect();
                    for id in ids.iter().flat_map(|(ids, _)| ids) {
                        prop_assert!(!ended.contains_key(id), "{id} is used after its end");
                        *uses.entry(*id).or_default() += 1;
                    }
                    let (times, last) = ahead.entry(t).or_default();
                    prop_assert_eq!(bundle.revision, *times);
                    prop_assert!(!bundle.is_repeated && ids != *last, "emitted again with nothing new");
                    (*times, *last) = (*times + 1, ids);
                }
                Event::Bundle(bundle) => {
                    let t = bundle.event_time.as_nanos();
                    let ids: Parts =
                        bundle.parts.iter().map(|part| (part.samples.to_vec(), part.held)).collect();
                    let (times, last) = ahead.remove(&t).unwrap_or_default();
                    prop_assert_eq!(bundle.is_repeated, times > 0 && ids == last);
                    prop_assert_eq!(bundle.revision, times - u32::from(bundle.is_repeated));
                    prop_assert!(bundles.last_key_value().is_none_or(|(last, _)| *last < t), "out of order");
                    let mut parts = Vec::new();
                    for (input, part) in bundle.parts.iter().enumerate() {
                        let got = part.samples.to_vec();
                        for id in &got {
                            prop_assert!(!ended.contains_key(id), "{id} is used after its end");
                            *uses.entry(*id).or_default() += 1;
                            let once = match joins[input] {
                                Join::Nearest { reuse, .. } => !reuse,
                                join => matches!(join, Join::AllBetweenPivots { .. }),
                            };
                            prop_assert!(!once || part.held || taken.insert(*id), "{id} is in two bundles");
                        }
                        let all = all_of(input);
                        let before: Vec<i64> = bundles.keys().copied().collect();
                        let (wanted, held) = find(&plans[input], joins[input], &all, &before, t);
                        prop_assert_eq!(part.held, held);
                        if plans[input].sound == Sound::Overlapping && input != pivot && !held {
                            let chosen: Vec<Item> =
                                all.iter().copied().filter(|item| got.contains(&item.id)).collect();
                            let covered = cells(joins[input], &all, t);
                            prop_assert_eq!(&cells(joins[input], &chosen, t), &covered);
                            for spare in &chosen {
                                let rest: Vec<Item> =
                                    chosen.iter().copied().filter(|item| item != spare).collect();
                                prop_assert!(
                                    cells(joins[input], &rest, t) != covered,
                                    "{spare:?} is not needed"
                                );
                            }
                        } else {
                            prop_assert_eq!(&got, &wanted, "input {} of the bundle at {}", input, t);
                        }
                        if plans[input].sound != Sound::No && input != pivot && !got.is_empty() && !held {
                            let asked = (part.to.as_nanos() - part.from.as_nanos()) as f64;
                            let covered = covered_cells(joins[input], &all, t).len() as f64;
                            prop_assert_eq!(part.coverage, Some(covered / asked));
                        }
                        let mut needs = if input == pivot { Needs::default() } else { plans[input].needs };
                        if matches!(joins[input], Join::Nearest { .. } | Join::Latest { .. }) {
                            needs.min_count = 1;
                        }
                        let lacks = lack(needs, got.len(), part.coverage).filter(|_| !held);
                        let said = bundle.incomplete.iter().find(|said| said.input.index() == input);
                        let said = said.map(|said| said.lack);
                        // At the end more might have come; a latest value holds while its input is silent.
                        let holds_on = matches!(joins[input], Join::Latest { .. }) && !got.is_empty();
                        let is_cut = step == items.len()
                            && input != pivot
                            && (needs.required && !held && !holds_on)
                            && !settled(&plans[input], joins[input], &all, &before, t);
                        let lacks = if is_cut { Some(Lack::Idle) } else { lacks };
                        prop_assert_eq!(said, lacks, "input {} of the bundle at {}", input, t);
                        parts.push(got);
                    }
                    bundles.insert(t, parts);
                }
                Event::Released { item, used } => {
                    prop_assert!(ended.insert(item, Some(used)).is_none(), "{item} ended twice");
                }
                Event::Late { item, .. } | Event::Duplicate(item) => {
                    prop_assert!(ended.insert(item, None).is_none(), "{item} ended twice");
                }
                other => prop_assert!(false, "unexpected: {other:?}"),
            }
        }
        if step == items.len() {
            break;
        }
        // Bundles on time were emitted in their present form, and without `early` no others were.
        let mut known: Vec<i64> = seen[pivot].iter().map(|item| item.time).collect();
        known.sort_unstable();
        known.dedup();
        let mut all_on_time = true;
        for (index, t) in known.iter().enumerate().filter(|(_, t)| !bundles.contains_key(t)) {
            let before = &known[..index];
            let finds = |i: usize| find(&plans[i], joins[i], &seen[i], before, *t);
            all_on_time &= (0..plans.len()).all(|i| settled(&on_time[i], joins[i], &seen[i], before, *t));
            let emitted = ahead.get(t);
            if all_on_time && revise.revises() {
                prop_assert!(
                    emitted.is_some(),
                    "the bundle at {t} is on time and not emitted after step {step}"
                );
                for (i, ids) in emitted.iter().flat_map(|(_, ids)| ids.iter().enumerate()) {
                    let fuzzy = plans[i].sound == Sound::Overlapping && i != pivot;
                    prop_assert!(fuzzy || *ids == finds(i), "input {i} at {t} is {:?}", finds(i));
                }
            } else if revise.early {
                let enough = |i: usize| {
                    let (ids, held) = finds(i);
                    let mut needs = plans[i].needs;
                    if matches!(joins[i], Join::Nearest { .. } | Join::Latest { .. }) {
                        needs.min_count = 1;
                    }
                    i == pivot || held || lack(needs, ids.len(), None).is_none()
                };
                let is_sound = plans.iter().any(|plan| plan.sound != Sound::No);
                prop_assert!(
                    is_sound || emitted.is_some() || !(0..plans.len()).all(enough),
                    "{t} has enough"
                );
            } else if !revise.revises() {
                prop_assert!(emitted.is_none());
            }
        }
        // As early as the definition allows: the first pivot that is open has something to wait for.
        let mut pivots: Vec<i64> = seen[pivot].iter().map(|item| item.time).collect();
        pivots.sort_unstable();
        let closed: Vec<i64> = bundles.keys().copied().collect();
        if let Some(open) = pivots.iter().find(|t| !bundles.contains_key(t)) {
            let waits = (0..plans.len()).any(|i| !settled(&plans[i], joins[i], &seen[i], &closed, *open));
            prop_assert!(waits, "the bundle at {open} could have closed after step {step}");
        }
        for (index, t) in closed.iter().enumerate() {
            let before = &closed[..index];
            let waits = (0..plans.len()).any(|i| !settled(&plans[i], joins[i], &seen[i], before, *t));
            prop_assert!(!waits, "the bundle at {t} closed on a guess");
        }
        // Samples are held no longer than needed: some pivot from the floor on would find them.
        let open = pivots.iter().copied().find(|t| !bundles.contains_key(t));
        let watermark = pivots.last().map_or(i64::MIN, |last| last - plans[pivot].out_of_orderness);
        let coming = bundles.last_key_value().map_or(watermark, |(last, _)| watermark.max(last + 1));
        let floor = open.map_or(coming, |open| open.min(coming)).max(-20);
        let mut held = seen[pivot].iter().filter(|item| !ended.contains_key(&item.id)).count();
        pivots.dedup();
        prop_assert_eq!(held, pivots.len() - bundles.len());
        for input in (0..plans.len()).filter(|input| *input != pivot) {
            for item in seen[input].iter().filter(|item| !ended.contains_key(&item.id)) {
                held += 1;
                let empty =
                    matches!(joins[input], Join::Window { before, after } if (before + after).is_zero());
                let asks = |t| pick(joins[input], &seen[input], &closed, t).contains(&item.id);
                let is_last_value = |it: &Item| {
                    let next = seen[input].iter().any(|other| it.time < other.time && other.time <= floor);
                    plans[input].hold.is_some_and(|age| floor - age <= it.time) && !next
                };
                let wanted = match joins[input] {
                    // A taken sample leaves once all before it leave; another while any pivot reaches it.
                    Join::Nearest { tolerance, reuse: false } => {
                        let mut held = seen[input].iter().filter(|item| !ended.contains_key(&item.id));
                        held.any(|it| {
                            let free = !taken.contains(&it.id);
                            let reached = free && it.time >= floor - ns(tolerance);
                            it.time <= item.time && (reached || is_last_value(it))
                        })
                    }
                    _ => is_last_value(item) || (floor..300).any(asks),
                };
                prop_assert!(empty || wanted, "{item:?} is held for nothing from {floor} on");
            }
        }
        prop_assert_eq!(aligner.buffered(), held);
    }

    // Every pivot has its bundle, and every sample its end, with the uses that it had.
    let mut times: Vec<i64> = all_of(pivot).iter().map(|item| item.time).collect();
    times.sort_unstable();
    times.dedup();
    prop_assert_eq!(&times, &bundles.keys().copied().collect::<Vec<_>>());
    for item in &items {
        let used = uses.get(&item.id).copied();
        prop_assert_eq!(ended.get(&item.id).copied(), Some(used.or(ended[&item.id])), "{:?}", item);
        prop_assert!(used.is_some() || ended[&item.id].unwrap_or(0) == 0);
    }
    Ok(Run { bundles })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bundles_match_the_definition_as_early_as_possible(
        (plans, pivot) in plans(),
    ) {
        check(&plans, pivot, Revise::default())?;
    }

    #[test]
    fn early_results_match_the_known_samples_and_keep_final_ones(
        (plans, pivot) in plans(),
        late in 0..8_i64,
        early in any::<bool>(),
    ) {
        let late = plans.iter().map(|plan| plan.out_of_orderness).fold(late, i64::min);
        let allowed_lateness = Duration::from_nanos(late.unsigned_abs());
        let ahead = check(&plans, pivot, Revise { allowed_lateness, early })?;
        prop_assert_eq!(ahead.bundles, check(&plans, pivot, Revise::default())?.bundles);
    }

    #[test]
    fn the_order_of_arrival_makes_no_difference(
        (plans, pivot) in plans(),
        other in vec(vec((0..9_i64, any::<u16>()), 25), 4),
    ) {
        let mut shuffled = plans.clone();
        for (plan, other) in shuffled.iter_mut().zip(&other) {
            // Samples of equal times keep their order, which counts there.
            plan.raw.sort_by_key(|raw| raw.time);
            for (raw, (delay, turn)) in plan.raw.iter_mut().zip(other) {
                (raw.delay, raw.turn) = (*delay, *turn);
            }
        }
        let times = |plans: &[InputPlan], run: Run| -> Vec<(i64, Vec<Vec<i64>>)> {
            let by_id: BTreeMap<usize, i64> =
                arrivals(plans, pivot).iter().map(|item| (item.id, item.time)).collect();
            let parts = |parts: Vec<Vec<usize>>| {
                parts.into_iter().map(|ids| ids.into_iter().map(|id| by_id[&id]).collect()).collect()
            };
            run.bundles.into_iter().map(|(t, ids)| (t, parts(ids))).collect()
        };
        let (one, two) = (check(&plans, pivot, Revise::default())?, check(&shuffled, pivot, Revise::default())?);
        prop_assert_eq!(times(&plans, one), times(&shuffled, two));
    }
}
