//! Approximate time against a brute-force oracle that has all samples at once and tries every set.
//!
//! Times are small whole numbers of nanoseconds, so that ties and edges come up all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;
use crate::position::InputId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

const LONG: Duration = Duration::from_secs(3_600);

/// A stamp of each input, or none.
type Set = Vec<Option<i64>>;

#[derive(Clone, Debug)]
struct Plan {
    inputs: Vec<InputPlan>,
    max_interval: Option<i64>,
    /// The age penalty.
    tenths: i64,
}

#[derive(Clone, Debug)]
struct InputPlan {
    out_of_orderness: i64,
    min_period: i64,
    /// Gaps between stamps, the delay of each, and its rank in the order of arrival.
    raw: Vec<(i64, i64, u16)>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    id: usize,
    input: usize,
    time: i64,
}

impl crate::align::Held for Item {}

fn plan(inputs: std::ops::Range<usize>, samples: usize) -> impl Strategy<Value = Plan> {
    let raw = move || vec((0..9_i64, 0..8_i64, any::<u16>()), 0..samples);
    let input = (0..7_i64, prop_oneof![Just(0), 1..6_i64], raw())
        .prop_map(|(out_of_orderness, min_period, raw)| InputPlan { out_of_orderness, min_period, raw });
    let penalty = prop_oneof![Just(0), Just(1), Just(5), Just(30)];
    (vec(input, inputs), proptest::option::of(0..15_i64), penalty)
        .prop_map(|(inputs, max_interval, tenths)| Plan { inputs, max_interval, tenths })
}

fn short(span: i64) -> Duration {
    Duration::from_nanos(u64::try_from(span).expect("not negative"))
}

impl Plan {
    fn policy(&self) -> AlignPolicy {
        let inputs = self.inputs.iter().enumerate().map(|(input, plan)| InputPolicy {
            out_of_orderness: short(plan.out_of_orderness),
            idle_timeout: LONG,
            ..InputPolicy::new(format!("input {input}"), Join::Pivot)
        });
        AlignPolicy {
            max_wait: LONG,
            forget_after: LONG,
            ..AlignPolicy::new(
                Method::ApproximateTime(ApproximateTime {
                    queue: 1_000,
                    max_interval: self.max_interval.map(short),
                    age_penalty: self.tenths as f64 / 10.0,
                    min_periods: self.inputs.iter().map(|plan| short(plan.min_period)).collect(),
                }),
                inputs.collect(),
            )
        }
    }

    /// The samples in an order of arrival that is within bounds for each input.
    fn arrivals(&self) -> Vec<Item> {
        let mut placed = Vec::new();
        let mut id = 0;
        for (input, plan) in self.inputs.iter().enumerate() {
            let mut time = 0;
            let mut items = Vec::new();
            for (gap, delay, turn) in &plan.raw {
                time += plan.min_period.max(1) + gap - i64::from(items.is_empty());
                items.push((time + delay % (plan.out_of_orderness + 1), *turn, Item { id, input, time }));
                id += 1;
            }
            items.sort_by_key(|(due, turn, item)| (*due, *turn, item.id));
            let mut turns: Vec<u16> = items.iter().map(|(_, turn, _)| *turn).collect();
            turns.sort_unstable();
            placed.extend(turns.into_iter().zip(items).map(|(turn, (_, _, item))| (turn, item)));
        }
        placed.sort_by_key(|(turn, _)| *turn);
        placed.into_iter().map(|(_, item)| item).collect()
    }

    fn times(&self) -> Vec<BTreeSet<i64>> {
        let items = self.arrivals();
        let of = |input| items.iter().filter(|item| item.input == input).map(|item| item.time).collect();
        (0..self.inputs.len()).map(of).collect()
    }

    /// The cost that is least for the next set.
    fn cost(&self, set: &Set) -> i64 {
        let (start, end) = edges(set);
        (10 + self.tenths) * end - 10 * start
    }

    fn narrow(&self, set: &Set) -> bool {
        let (start, end) = edges(set);
        self.max_interval.is_none_or(|widest| end - start <= widest)
    }

    /// All sets, by the definition: see the head of `mod.rs`. Inputs that have nothing left no longer count.
    fn definition(&self, mut left: Vec<BTreeSet<i64>>) -> Vec<Set> {
        let mut sets = Vec::new();
        loop {
            let firsts: Set = left.iter().map(|times| times.first().copied()).collect();
            if firsts.iter().all(Option::is_none) {
                return sets;
            }
            let all: Vec<Set> = every_set(&left).into_iter().filter(|set| self.narrow(set)).collect();
            let earliest = edges(&firsts).0;
            let place =
                firsts.iter().position(|first| *first == Some(earliest)).expect("one is the earliest");
            let behind = sets.last().is_some_and(|last| edges(&firsts).1 <= edges(last).1);
            if behind || !all.iter().any(|set| set[place] == Some(earliest)) {
                left[place].remove(&earliest);
                continue;
            }
            let contiguous = |set: &&Set| set.iter().zip(&firsts).any(|(a, b)| a.is_some() && a == b);
            let best = all
                .iter()
                .filter(contiguous)
                .min_by_key(|set| (self.cost(set), edges(set).0, (*set).clone()))
                .expect("the one with the earliest sample")
                .clone();
            for (times, taken) in left.iter_mut().zip(&best) {
                times.retain(|time| taken.is_none_or(|taken| *time > taken));
            }
            sets.push(best);
        }
    }
}

fn edges(set: &Set) -> (i64, i64) {
    let times = || set.iter().flatten().copied();
    (times().min().expect("not empty"), times().max().expect("not empty"))
}

/// Every choice of a stamp of each input that has any.
fn every_set(left: &[BTreeSet<i64>]) -> Vec<Set> {
    left.iter().fold(vec![Vec::new()], |sets, times| {
        let choices: Vec<Option<i64>> =
            if times.is_empty() { vec![None] } else { times.iter().copied().map(Some).collect() };
        let longer = |set: Set| {
            choices
                .iter()
                .map(move |choice| set.iter().copied().chain([*choice]).collect())
                .collect::<Vec<Set>>()
        };
        sets.into_iter().flat_map(longer).collect()
    })
}

/// The events of some samples.
#[derive(Default)]
struct Emitted {
    sets: Vec<Set>,
    ended: BTreeMap<usize, Option<u32>>,
    uses: BTreeMap<usize, u32>,
    /// The next set is the first of a process.
    restarted: bool,
    /// The number of sets before the restart, and the times of the samples that had not ended, or came later.
    at_restart: Option<(usize, Vec<BTreeSet<i64>>)>,
}

impl Emitted {
    /// Takes the events, and checks the rules that always hold.
    fn observe(
        &mut self,
        events: &mut Vec<Event<Item>>,
        max_interval: Option<i64>,
    ) -> Result<(), TestCaseError> {
        for event in events.drain(..) {
            match event {
                Event::Bundle(bundle) => {
                    let mut set = Set::new();
                    for part in &bundle.parts {
                        prop_assert!(part.samples.len() <= 1);
                        let item = part.samples.first();
                        let skew = item.map(|item| item.time - bundle.event_time.as_nanos());
                        prop_assert_eq!(part.skew_ns, skew);
                        if let Some(item) = item {
                            prop_assert!(
                                !self.ended.contains_key(&item.id),
                                "{item:?} is used after its end"
                            );
                            *self.uses.entry(item.id).or_default() += 1;
                            let before = self.sets.iter().filter_map(|set| set[item.input]).max();
                            prop_assert!(before.is_none_or(|before| before < item.time), "sets cross");
                        }
                        set.push(item.map(|item| item.time));
                    }
                    let (start, end) = edges(&set);
                    prop_assert_eq!(bundle.event_time.as_nanos(), end);
                    // A new process does not know the last set of the one before.
                    let first = std::mem::take(&mut self.restarted) || self.sets.is_empty();
                    let rises = self.sets.last().is_none_or(|last| edges(last).1 < end);
                    prop_assert!(first || rises, "event times fall");
                    prop_assert!(max_interval.is_none_or(|widest| end - start <= widest));
                    prop_assert_eq!(bundle.first, first);
                    self.sets.push(set);
                }
                Event::Released { item, used } => {
                    prop_assert!(self.ended.insert(item.id, Some(used)).is_none(), "{item:?} ended twice");
                    prop_assert_eq!(self.uses.get(&item.id).copied().unwrap_or(0), used);
                }
                Event::Late { item, .. } | Event::Duplicate(item) | Event::Evicted { item, .. } => {
                    prop_assert!(self.ended.insert(item.id, None).is_none(), "{item:?} ended twice");
                    prop_assert!(!self.uses.contains_key(&item.id));
                }
                other => prop_assert!(false, "unexpected: {other:?}"),
            }
        }
        Ok(())
    }
}

fn push(aligner: &mut Aligner<Item>, item: Item, now: i64, out: &mut Vec<Event<Item>>) {
    let stamp = Stamp::new(Timestamp::from_nanos(item.time), Duration::ZERO);
    let input = InputId(u16::try_from(item.input).expect("few"));
    aligner.push(&StreamKey::from("s"), input, stamp, item, Timestamp::from_nanos(now), out);
}

/// Runs one order of arrival. After `cut` samples the process ends, and another goes on with those that had not ended.
fn run(plan: &Plan, cut: Option<usize>) -> Result<Emitted, TestCaseError> {
    let mut aligner = Aligner::new(Arc::new(plan.policy()));
    let (mut out, mut emitted) = (Vec::new(), Emitted::default());
    let items = plan.arrivals();
    for (step, item) in items.iter().enumerate() {
        if cut == Some(step) {
            aligner = Aligner::new(Arc::new(plan.policy()));
            for again in items.iter().take(step).filter(|item| !emitted.ended.contains_key(&item.id)) {
                push(&mut aligner, *again, 0, &mut out);
            }
            prop_assert!(out.is_empty(), "it would have come before");
            emitted.restarted = true;
            let of = |input| {
                let left = items.iter().filter(|item| !emitted.ended.contains_key(&item.id));
                left.filter(|item| item.input == input).map(|item| item.time).collect()
            };
            let left = (0..plan.inputs.len()).map(of).collect();
            emitted.at_restart = Some((emitted.sets.len(), left));
        }
        push(&mut aligner, *item, 0, &mut out);
        emitted.observe(&mut out, plan.max_interval)?;
        if cut.is_none() {
            prop_assert_eq!(aligner.buffered() + emitted.ended.len(), step + 1);
            check_earliness(plan, &items[..=step], &emitted)?;
        }
    }
    aligner.finish(Timestamp::from_nanos(0), &mut out);
    emitted.observe(&mut out, plan.max_interval)?;
    prop_assert_eq!(emitted.ended.len(), items.len());
    prop_assert!(emitted.ended.values().all(Option::is_some), "none is late or a duplicate");
    Ok(emitted)
}

/// Checks that the next set was still open: future samples would make it one or another.
fn check_earliness(plan: &Plan, seen: &[Item], emitted: &Emitted) -> Result<(), TestCaseError> {
    if plan.inputs.len() > 3 {
        return Ok(());
    }
    let mut left: Vec<BTreeSet<i64>> = vec![BTreeSet::new(); plan.inputs.len()];
    let mut coming = Vec::new();
    for (input, rule) in plan.inputs.iter().enumerate() {
        let of = seen.iter().filter(|item| item.input == input).map(|item| item.time);
        let of: BTreeSet<i64> = of.collect();
        // Samples that the watermark has not passed are held back for ordering, and count as absent.
        let watermark = of.last().map_or(0, |last| last - rule.out_of_orderness);
        let known = || of.range(..=watermark).copied();
        coming.push(known().last().map_or(watermark, |last| watermark.max(last + rule.min_period.max(1))));
        let used = emitted.sets.iter().filter_map(|set| set[input]).max();
        left[input] = known().filter(|time| used.is_none_or(|used| *time > used)).collect();
    }
    let next = |at: Option<i64>| {
        let mut left = left.clone();
        for (times, coming) in left.iter_mut().zip(&coming) {
            times.extend(at.map(|at| at.max(*coming)));
            times.insert(1_000);
        }
        plan.definition(left).into_iter().next()
    };
    let silent = next(None);
    let open = (0..90).any(|at| next(Some(at)) != silent);
    prop_assert!(open, "the set {silent:?} could have been emitted after {seen:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sets_are_contiguous_and_minimal_and_every_sample_ends_once(plan in plan(1..6, 7)) {
        prop_assert_eq!(run(&plan, None)?.sets, plan.definition(plan.times()));
    }

    #[test]
    fn more_inputs_than_ros_has_make_no_difference(plan in plan(9..13, 3)) {
        prop_assert_eq!(run(&plan, None)?.sets, plan.definition(plan.times()));
    }

    #[test]
    fn sets_are_emitted_as_early_as_the_definition_allows(plan in plan(1..4, 6)) {
        prop_assert_eq!(run(&plan, None)?.sets, plan.definition(plan.times()));
    }

    #[test]
    fn a_restart_makes_no_difference(plan in plan(1..5, 8), cut in 0..40_usize) {
        let mut plain = plan.clone();
        // Without a promise of periods, since a new process does not know the last sample that ended.
        plain.inputs.iter_mut().for_each(|input| input.raw.iter_mut().for_each(|raw| raw.0 += input.min_period));
        plain.inputs.iter_mut().for_each(|input| input.min_period = 0);
        let (emitted, expected) = (run(&plain, Some(cut))?, plain.definition(plain.times()));
        let Some((before, left)) = emitted.at_restart else {
            prop_assert_eq!(emitted.sets, expected);
            return Ok(());
        };
        // Samples of the others up to the last event time make no set once an input has ended, and only a process that
        // has emitted that set knows it.
        let an_input_has_ended = left.iter().any(BTreeSet::is_empty);
        let after = plain.definition(left);
        prop_assert_eq!(&emitted.sets[..before], &expected[..before]);
        prop_assert_eq!(&emitted.sets[before..], &after[..]);
        prop_assert!(an_input_has_ended || after == expected[before..], "{after:?} against {expected:?}");
    }

    #[test]
    fn sets_never_cross_and_samples_end_once_with_timers_and_queues(
        plan in plan(1..5, 12),
        times in vec((0..40_i64, 0..6_i64), 60),
        queue in 1..6_usize,
        (idle, wait) in (1..30_i64, 1..30_i64),
    ) {
        let mut policy = plan.policy();
        policy.max_wait = short(wait);
        policy.inputs.iter_mut().for_each(|input| input.idle_timeout = short(idle));
        if let Method::ApproximateTime(approximate) = &mut policy.method {
            approximate.queue = queue;
        }
        let mut aligner = Aligner::new(Arc::new(policy));
        let (mut out, mut emitted, mut now) = (Vec::new(), Emitted::default(), 0);
        let items = plan.arrivals();
        for (item, (shift, pause)) in items.iter().zip(&times) {
            now += pause;
            aligner.tick(Timestamp::from_nanos(now), &mut out);
            // Out of order by more than is allowed too, and duplicates.
            let item = Item { time: item.time + shift % 9 - 4, ..*item };
            push(&mut aligner, item, now, &mut out);
            emitted.observe(&mut out, plan.max_interval)?;
            prop_assert!(aligner.buffered() <= queue * plan.inputs.len());
        }
        let pushed = items.len().min(times.len());
        prop_assert_eq!(aligner.buffered() + emitted.ended.len(), pushed);
        aligner.tick(Timestamp::from_nanos(now + wait), &mut out);
        emitted.observe(&mut out, plan.max_interval)?;
        prop_assert_eq!(aligner.buffered(), 0);
        prop_assert_eq!(emitted.ended.len(), pushed);
    }
}
