//! Restarts: an aligner is lost at any moment, and the next reads again all records from the first that has not ended.
//!
//! Times are small whole numbers of nanoseconds, so that ties and edges come up all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::testing::{Rig, quick_pair};
use super::*;
use crate::position::InputId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

const LONG: Duration = Duration::from_secs(3_600);

#[derive(Clone, Debug)]
struct Plan {
    method: Method,
    inputs: Vec<InputPlan>,
    /// The number of samples that are taken before the restart.
    taken: prop::sample::Index,
    /// The bundles of the first run that have been published and committed.
    settled: u64,
    /// The input that is read first after it, then the others one after the other; none for the original order of arrival.
    again: Option<u16>,
}

#[derive(Clone, Debug)]
struct InputPlan {
    join: Join,
    out_of_orderness: i64,
    hold: Option<i64>,
    lasts: i64,
    /// Event time, delay, and rank in the order of arrival.
    raw: Vec<(i64, i64, u16)>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    id: usize,
    input: u16,
    time: i64,
    lasts: i64,
}

fn joins() -> impl Strategy<Value = Join> {
    let span = || (0..12_u64).prop_map(Duration::from_nanos);
    prop_oneof![
        (span(), span()).prop_map(|(before, after)| Join::Window { before, after }),
        span().prop_map(|tolerance| Join::Nearest { tolerance, reuse: true }),
        // If the pivot before a bundle had ended and is not read again, nothing is known of it. Then the bundle reaches back
        // by this.
        (60..100_u64).prop_map(|age| Join::AllBetweenPivots { max_age: Duration::from_nanos(age) }),
        span().prop_map(|max_age| Join::Latest { max_age }),
    ]
}

fn methods() -> impl Strategy<Value = Method> {
    let span = |from: u64| (from..20).prop_map(Duration::from_nanos);
    prop_oneof![
        4 => Just(Method::Pivot(InputId(0))),
        1 => Just(Method::Exact),
        1 => span(1).prop_map(|size| Method::Tumbling { size }),
        1 => (span(0), span(1)).prop_map(|(gap, max)| Method::Session { gap, max }),
    ]
}

fn plans() -> impl Strategy<Value = Plan> {
    let hold = prop::option::of(0..25_i64);
    let raw = vec((0..60_i64, 0..9_i64, any::<u16>()), 0..25);
    let input =
        (joins(), 0..8_i64, hold, 0..6_i64, raw).prop_map(|(join, out_of_orderness, hold, lasts, raw)| {
            InputPlan { join, out_of_orderness, hold, lasts, raw }
        });
    (methods(), vec(input, 1..4), any::<prop::sample::Index>(), any::<u64>(), prop::option::of(0..3_u16))
        .prop_map(|(method, inputs, taken, settled, again)| Plan { method, inputs, taken, settled, again })
}

impl Plan {
    fn policy(&self) -> Arc<AlignPolicy> {
        let inputs = self.inputs.iter().enumerate().map(|(input, plan)| InputPolicy {
            out_of_orderness: Duration::from_nanos(plan.out_of_orderness.unsigned_abs()),
            idle_timeout: LONG,
            // Samples between pivots that are held for future ones look like samples that no pivot has had.
            missing: match plan.hold.filter(|_| !matches!(plan.join, Join::AllBetweenPivots { .. })) {
                Some(age) => Missing::Hold { max_age: Duration::from_nanos(age.unsigned_abs()) },
                None => Missing::Emit,
            },
            ..InputPolicy::new(
                format!("input {input}"),
                if self.is_pivot(input) { Join::Pivot } else { plan.join },
            )
        });
        Arc::new(AlignPolicy {
            max_wait: LONG,
            forget_after: LONG,
            ..AlignPolicy::new(self.method.clone(), inputs.collect())
        })
    }

    fn is_pivot(&self, input: usize) -> bool {
        matches!(self.method, Method::Pivot(_)) && input == 0
    }

    /// The samples in an order of arrival that is within bounds for each input. Where times make bundles, no two samples
    /// of an input have the same time. Only windows use lengths.
    fn arrivals(&self) -> Vec<Item> {
        let mut placed = Vec::new();
        let mut id = 0;
        for (input, plan) in self.inputs.iter().enumerate() {
            let is_window = matches!((&self.method, plan.join), (Method::Pivot(_), Join::Window { .. }));
            let lasts = if is_window && !self.is_pivot(input) { plan.lasts } else { 0 };
            let unique =
                self.is_pivot(input) || matches!(self.method, Method::Exact | Method::ApproximateTime(_));
            let mut raw = plan.raw.clone();
            raw.sort_by_key(|(time, ..)| *time);
            let (mut items, mut seen, mut cursor) = (Vec::new(), BTreeSet::new(), 0);
            for (time, delay, turn) in raw {
                let time = if lasts > 0 { cursor + time % 6 } else { time };
                cursor = time + lasts;
                if seen.insert(time) || !unique {
                    let due = time + delay % (plan.out_of_orderness + 1);
                    items.push((due, turn, Item { id, input: input as u16, time, lasts }));
                    id += 1;
                }
            }
            items.sort_by_key(|(due, turn, item)| (*due, *turn, item.id));
            let mut turns: Vec<u16> = items.iter().map(|(_, turn, _)| *turn).collect();
            turns.sort_unstable();
            placed.extend(turns.into_iter().zip(items).map(|(turn, (_, _, item))| (turn, item)));
        }
        placed.sort_by_key(|(turn, _)| *turn);
        placed.into_iter().map(|(_, item)| item).collect()
    }
}

/// The events of an aligner.
#[derive(Debug, Default)]
struct Emitted {
    /// The samples of each input, by event time.
    bundles: Bundles,
    /// The number of samples that had come when a bundle was emitted, by event time.
    after: BTreeMap<i64, usize>,
    gone: BTreeSet<usize>,
}

struct Life {
    aligner: Aligner<usize>,
    come: usize,
    emitted: Emitted,
}

impl Life {
    fn new(plan: &Plan) -> Self {
        Self { aligner: Aligner::new(plan.policy()), come: 0, emitted: Emitted::default() }
    }

    fn take(&mut self, item: &Item, had_ended: bool) {
        let (stream, now) = (StreamKey::from("s"), Timestamp::from_nanos(0));
        let stamp =
            Stamp::new(Timestamp::from_nanos(item.time), Duration::from_nanos(item.lasts.unsigned_abs()));
        let mut out = Vec::new();
        self.come += 1;
        if had_ended {
            self.aligner.observe(&stream, InputId(item.input), stamp, now, &mut out);
        } else {
            self.aligner.push(&stream, InputId(item.input), stamp, item.id, now, &mut out);
        }
        self.note(out);
    }

    fn finish(&mut self) {
        let mut out = Vec::new();
        self.aligner.finish(Timestamp::from_nanos(0), &mut out);
        self.note(out);
    }

    fn note(&mut self, out: Vec<Event<usize>>) {
        for event in out {
            match event {
                Event::Bundle(bundle) => {
                    let parts = bundle.parts.iter().map(|part| part.samples.to_vec());
                    self.emitted.after.insert(bundle.event_time.as_nanos(), self.come);
                    self.emitted.bundles.push((bundle.event_time.as_nanos(), parts.collect()));
                }
                event => {
                    let item = *event.ended().expect("no bundle is dropped, and no clock steps");
                    assert!(self.emitted.gone.insert(item), "{item} ends twice");
                }
            }
        }
    }
}

/// The samples that have ended once some of the bundles are over: they are released, and all their bundles are over.
fn ended(emitted: &Emitted, open: &[&(i64, Vec<Vec<usize>>)]) -> BTreeSet<usize> {
    let held: BTreeSet<usize> = open.iter().flat_map(|(_, parts)| parts.iter().flatten().copied()).collect();
    emitted.gone.difference(&held).copied().collect()
}

type Bundles = Vec<(i64, Vec<Vec<usize>>)>;

/// Restarts once, with all bundles published and committed for which `is_settled` returns true. Returns the bundles of a run
/// with the restart, before and after it, and of a run without. Every sample that had not ended ends once.
fn restart(plan: &Plan, is_settled: impl Fn(usize) -> bool) -> Result<(Bundles, Bundles), TestCaseError> {
    let arrivals = plan.arrivals();
    let mut undisturbed = Life::new(plan);
    arrivals.iter().for_each(|item| undisturbed.take(item, false));
    undisturbed.finish();

    let taken = plan.taken.index(arrivals.len() + 1);
    let mut before = Life::new(plan);
    arrivals.iter().take(taken).for_each(|item| before.take(item, false));
    let (settled, open): (Vec<_>, Vec<_>) =
        before.emitted.bundles.iter().enumerate().partition(|(index, _)| is_settled(*index));
    let open: Vec<_> = open.into_iter().map(|(_, bundle)| bundle).collect();
    let ended = ended(&before.emitted, &open);

    let mut after = Life::new(plan);
    let mut is_behind: Vec<bool> = plan.inputs.iter().map(|_| true).collect();
    let mut again: Vec<_> = arrivals.iter().enumerate().collect();
    if let Some(first) = plan.again {
        again.sort_by_key(|(_, item)| (item.input != first, item.input));
    }
    for (index, item) in again {
        let had_ended = index < taken && ended.contains(&item.id);
        // Records before an input's first that has not ended are not read again.
        is_behind[usize::from(item.input)] &= had_ended;
        if !is_behind[usize::from(item.input)] {
            after.take(item, had_ended);
        }
    }
    after.finish();
    let left: BTreeSet<usize> =
        arrivals.iter().map(|item| item.id).filter(|id| !ended.contains(id)).collect();
    prop_assert_eq!(&after.emitted.gone, &left);
    prop_assert_eq!(after.aligner.buffered(), 0);

    let settled = settled.into_iter().map(|(_, bundle)| bundle.clone());
    Ok((settled.chain(after.emitted.bundles).collect(), undisturbed.emitted.bundles))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn bundles_across_a_restart_are_complete_and_never_repeat(plan in plans()) {
        let (mut emitted, mut expected) = restart(&plan, |index| plan.settled >> (index % 64) & 1 == 1)?;
        emitted.sort();
        expected.sort();
        prop_assert_eq!(emitted, expected);
    }

    #[test]
    fn no_bundle_closes_later_when_all_records_are_read_again(plan in plans()) {
        let arrivals = plan.arrivals();
        let mut undisturbed = Life::new(&plan);
        arrivals.iter().for_each(|item| undisturbed.take(item, false));
        let mut before = Life::new(&plan);
        let taken = plan.taken.index(arrivals.len() + 1);
        arrivals.iter().take(taken).for_each(|item| before.take(item, false));
        let is_settled = |index: usize| plan.settled >> (index % 64) & 1 == 1;
        let emitted = before.emitted.bundles.iter().enumerate();
        let (settled, open): (Vec<_>, Vec<_>) = emitted.partition(|(index, _)| is_settled(*index));
        let open: Vec<_> = open.into_iter().map(|(_, bundle)| bundle).collect();
        let ended = ended(&before.emitted, &open);

        let mut after = Life::new(&plan);
        for (index, item) in arrivals.iter().enumerate() {
            after.take(item, index < taken && ended.contains(&item.id));
        }
        let mut expected = undisturbed.emitted.after;
        expected.retain(|time, _| !settled.iter().any(|(_, (settled, _))| settled == time));
        // Earlier where the bundle before it, which is over, had to wait.
        for (time, sample) in expected {
            let again = after.emitted.after.get(&time).copied();
            prop_assert!(again.is_some_and(|again| again <= sample), "{time}: {sample}, then {again:?}");
        }
    }

    /// The sets of the remaining samples may depend on samples that ended unused.
    #[test]
    fn approximate_sets_across_a_restart_share_no_sample(plan in plans()) {
        let settled = plan.settled;
        let plan = Plan { method: Method::ApproximateTime(ApproximateTime::default()), ..plan };
        let (emitted, _) = restart(&plan, |index| settled >> (index % 64) & 1 == 1)?;
        let mut seen = BTreeSet::new();
        let samples = emitted.iter().flat_map(|(_, parts)| parts.iter().flatten());
        for sample in samples {
            prop_assert!(seen.insert(sample), "{sample} is in two sets");
        }
    }
}

/// Two inputs, the first of them the pivot, the second joined between pivots.
fn between() -> AlignPolicy {
    quick_pair(Join::AllBetweenPivots { max_age: Duration::from_secs(1) }, Missing::Emit)
}

fn observe(rig: &mut Rig, input: u16, time: i64, now: i64) -> String {
    let stamp = Stamp::new(Timestamp::from_millis(time), Duration::ZERO);
    let now = Timestamp::from_millis(now);
    rig.aligner.observe(&StreamKey::from("s"), InputId(input), stamp, now, &mut rig.out);
    rig.emitted()
}

#[test]
fn an_ended_sample_moves_the_watermark_and_is_in_no_bundle() {
    let mut rig = Rig::new(between());
    assert_eq!(rig.push_as(1, 90, 0, 1, 0), "");
    assert_eq!(rig.push_as(0, 100, 0, 2, 0), "");
    assert_eq!(observe(&mut rig, 1, 95, 0), "");
    assert_eq!(observe(&mut rig, 1, 105, 0), "100:[2][1] 2x1 1x1");
    assert_eq!(rig.aligner.buffered(), 0);
}

#[test]
fn an_ended_pivot_makes_no_bundle_but_keeps_its_time() {
    let mut rig = Rig::new(between());
    assert_eq!(observe(&mut rig, 0, 100, 0), "");
    assert_eq!(rig.push_as(0, 100, 0, 1, 0), "duplicate 1");
    assert_eq!(rig.push_as(1, 95, 0, 2, 0), "late 2 by 5000001");
    rig.push_as(1, 150, 0, 3, 0);
    rig.push_as(0, 200, 0, 4, 0);
    let bundle = rig.bundle_after(1, 250, 0);
    assert_eq!((bundle.parts[1].samples.to_vec(), bundle.first), (vec![3], false));
}

#[test]
fn an_input_that_brings_only_ended_samples_is_not_idle() {
    let mut rig = Rig::new(between());
    rig.push(0, 100, 0);
    assert_eq!(observe(&mut rig, 1, 90, 80), "");
    assert_eq!(rig.tick(150), "");
    assert_eq!(rig.tick(180), "100:[100][] 100x1");
}

#[test]
fn an_ended_set_is_not_made_again_and_its_new_samples_are_late() {
    let mut rig = Rig::new(AlignPolicy { method: Method::Exact, ..between() });
    assert_eq!(observe(&mut rig, 0, 100, 0), "");
    assert_eq!(rig.push_as(1, 100, 0, 1, 0), "late 1 by 1");
    assert_eq!(rig.push_as(0, 100, 0, 2, 0), "duplicate 2");
}
