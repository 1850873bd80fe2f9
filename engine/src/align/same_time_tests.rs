//! Samples of one stream, input and event time: distinguished by their offsets, or duplicates. Against oracles, with times
//! so small that most are ties.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::position::{InputId, Position};
use crate::sample::{StreamKey, TieBreak};
use crate::time::Timestamp;

const LONG: Duration = Duration::from_secs(3_600);

/// A record: its offset, its event time, and its id if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    input: u16,
    offset: i64,
    time: i64,
    id: Option<u64>,
}

impl Held for Item {
    fn repeats(&self, other: &Self) -> bool {
        self.id.is_some() && self.id == other.id
    }

    fn fingerprint(&self) -> Option<u64> {
        self.id
    }
}

impl Item {
    fn position(&self) -> Position {
        Position::new(InputId(self.input), 3, self.offset)
    }

    fn stamp(&self, has_tie_breaks: bool) -> Stamp {
        let stamp = Stamp::new(Timestamp::from_nanos(self.time), Duration::ZERO);
        let tie_break = if has_tie_breaks { TieBreak::by(self.position()) } else { TieBreak::NONE };
        Stamp { partition: 3, tie_break, ..stamp }
    }
}

fn policy(method: Method, join: Join, inputs: usize) -> AlignPolicy {
    let input = |input: usize| InputPolicy {
        idle_timeout: LONG,
        ..InputPolicy::new(format!("input {input}"), if input == 0 { Join::Pivot } else { join })
    };
    AlignPolicy {
        max_wait: LONG,
        forget_after: LONG,
        ..AlignPolicy::new(method, (0..inputs).map(input).collect())
    }
}

/// The events: the identities of the bundles in their order with their samples, and the end of each record.
#[derive(Debug, Default, PartialEq)]
struct Emitted {
    bundles: Vec<(i64, Option<Position>, Vec<Vec<i64>>)>,
    ended: BTreeMap<Position, &'static str>,
}

impl Emitted {
    fn observe(&mut self, out: &mut Vec<Event<Item>>) -> Result<(), TestCaseError> {
        for event in out.drain(..) {
            let (item, how) = match event {
                Event::Bundle(bundle) => {
                    let parts = bundle.parts.iter();
                    let parts = parts.map(|part| part.samples.iter().map(|item| item.offset).collect());
                    self.bundles.push((bundle.event_time.as_nanos(), bundle.record, parts.collect()));
                    continue;
                }
                Event::Duplicate(item) => (item, "duplicate"),
                Event::Late { item, .. } => (item, "late"),
                Event::Released { item, used: 0 } => (item, "unused"),
                Event::Released { item, .. } => (item, "used"),
                other => return Err(TestCaseError::fail(format!("unexpected: {other:?}"))),
            };
            prop_assert!(self.ended.insert(item.position(), how).is_none(), "{item:?} ended twice");
        }
        Ok(())
    }

    /// The identities of the bundles.
    fn ids(&self) -> Vec<(i64, Option<Position>)> {
        self.bundles.iter().map(|(time, record, _)| (*time, *record)).collect()
    }
}

struct Run {
    aligner: Aligner<Item>,
    out: Vec<Event<Item>>,
    has_tie_breaks: bool,
    emitted: Emitted,
}

impl Run {
    fn new(policy: &AlignPolicy, has_tie_breaks: bool) -> Self {
        let aligner = Aligner::new(Arc::new(policy.clone()));
        Self { aligner, out: Vec::new(), has_tie_breaks, emitted: Emitted::default() }
    }

    fn push(&mut self, item: Item) -> Result<(), TestCaseError> {
        let (stamp, now) = (item.stamp(self.has_tie_breaks), Timestamp::from_nanos(0));
        self.aligner.push(&StreamKey::from("s"), InputId(item.input), stamp, item, now, &mut self.out);
        self.emitted.observe(&mut self.out)
    }

    fn observe(&mut self, item: Item) -> Result<(), TestCaseError> {
        let (stamp, now) = (item.stamp(self.has_tie_breaks), Timestamp::from_nanos(0));
        self.aligner.observe(&StreamKey::from("s"), InputId(item.input), stamp, now, &mut self.out);
        self.emitted.observe(&mut self.out)
    }

    fn finish(mut self) -> Result<Emitted, TestCaseError> {
        self.aligner.finish(Timestamp::from_nanos(0), &mut self.out);
        self.emitted.observe(&mut self.out)?;
        Ok(self.emitted)
    }
}

/// Records of each input in order, with rising times of which most are the same, in some order of the inputs. There are at
/// most `ids` different ids, none for 0.
fn records(inputs: u16, ids: u64) -> impl Strategy<Value = Vec<Item>> {
    vec((0..inputs, prop_oneof![4 => Just(0_i64), 1 => 1..3_i64], any::<u64>()), 0..24).prop_map(move |raw| {
        let mut at = BTreeMap::<u16, (i64, i64)>::new();
        let item = |(input, gap, id): (u16, i64, u64)| {
            let (offset, time) = at.entry(input).or_insert((10, 5));
            (*offset, *time) = (*offset + 1, *time + gap);
            let id = (ids > 0).then(|| id % ids.max(1));
            Item { input, offset: *offset, time: *time, id }
        };
        raw.into_iter().map(item).collect()
    })
}

fn methods() -> [(Method, Join); 3] {
    [
        (Method::Pivot(InputId(0)), Join::Pivot),
        (Method::Exact, Join::Pivot),
        (Method::ApproximateTime(ApproximateTime::default()), Join::Pivot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// The process is killed at `cut`. The records whose bits are set in `known` had ended by then and are known to have.
    #[test]
    fn each_record_makes_a_bundle_with_its_own_id_across_a_kill(
        items in records(1, 0),
        (cut, from, known) in (0..24_usize, 0..24_usize, any::<u32>()),
    ) {
        for (method, join) in methods() {
            let policy = policy(method, join, 1);
            let mut whole = Run::new(&policy, true);
            for item in &items {
                whole.push(*item)?;
            }
            let whole = whole.finish()?;
            let expected: Vec<_> = items.iter().map(|item| (item.time, Some(item.position()))).collect();
            prop_assert_eq!(whole.ids(), expected.clone());
            prop_assert!(whole.ended.values().all(|how| *how == "used"));

            let mut before = Run::new(&policy, true);
            for item in items.iter().take(cut) {
                before.push(*item)?;
            }
            let mut ids: BTreeSet<_> = before.emitted.ids().into_iter().collect();
            // All before `from` are committed, and some of the others are known to have ended.
            let mut after = Run::new(&policy, true);
            for (index, item) in items.iter().enumerate().skip(from.min(cut)) {
                let had_ended = index < cut && known >> index & 1 == 1 && before.emitted.ended.contains_key(&item.position());
                if had_ended { after.observe(*item)? } else { after.push(*item)? }
            }
            let again = after.finish()?;
            prop_assert!(again.ended.values().all(|how| *how == "used"), "{again:?}");
            prop_assert!(again.ids().is_sorted());
            ids.extend(again.ids());
            prop_assert!(ids.into_iter().chain(expected.iter().take(from.min(cut)).copied()).collect::<BTreeSet<_>>()
                == expected.into_iter().collect());
        }
    }

    #[test]
    fn records_without_tie_breaks_are_duplicates_of_the_first(items in records(1, 0)) {
        for (method, join) in methods() {
            let mut run = Run::new(&policy(method, join, 1), false);
            for item in &items {
                run.push(*item)?;
            }
            let emitted = run.finish()?;
            let times: BTreeSet<i64> = items.iter().map(|item| item.time).collect();
            prop_assert!(emitted.ids().into_iter().eq(times.iter().map(|time| (*time, None))));
            let duplicates = emitted.ended.values().filter(|how| **how == "duplicate").count();
            prop_assert_eq!(duplicates, items.len() - times.len());
        }
    }

    #[test]
    fn a_record_with_the_id_of_another_of_its_time_is_a_duplicate(items in records(2, 4)) {
        let join = Join::Window { before: Duration::from_nanos(3), after: Duration::ZERO };
        for (method, _) in methods() {
            let mut run = Run::new(&policy(method.clone(), join, 2), true);
            let mut seen = BTreeSet::new();
            for item in &items {
                run.push(*item)?;
                let again = !seen.insert((item.input, item.time, item.id));
                // A pivot knows only the held samples of other inputs; see `InputBuffer`.
                if item.input == 0 || !matches!(method, Method::Pivot(_)) {
                    let how = run.emitted.ended.get(&item.position()).copied();
                    prop_assert_eq!(again, how == Some("duplicate"), "{:?} {:?}", item, run.emitted);
                }
            }
            let emitted = run.finish()?;
            prop_assert_eq!(emitted.ended.len(), items.len());
        }
    }

    #[test]
    fn samples_of_one_time_are_joined_in_the_order_of_their_offsets(items in records(2, 0)) {
        let of = |input| items.iter().filter(move |item| item.input == input);
        let join = Join::Nearest { tolerance: Duration::ZERO, reuse: true };
        for (method, _) in methods() {
            let mut run = Run::new(&policy(method.clone(), join, 2), true);
            for item in &items {
                run.push(*item)?;
            }
            let emitted = run.finish()?;
            prop_assert_eq!(emitted.ended.len(), items.len());
            let ids = emitted.ids();
            prop_assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "ids of their own: {:?}", ids);
            prop_assert!(ids.iter().map(|(time, _)| time).is_sorted());
            prop_assert!(emitted.ended.values().all(|how| *how != "duplicate"), "{:?}", emitted);
            prop_assert!(of(0).all(|item| emitted.ended[&item.position()] != "late"), "{:?}", emitted);
            match method {
                // Each pivot has a bundle, with the first sample of exactly its time.
                Method::Pivot(_) => {
                    let expected = of(0).map(|pivot| {
                        let other = of(1).find(|item| item.time == pivot.time).map(|item| item.offset);
                        (pivot.time, Some(pivot.position()), vec![vec![pivot.offset], other.into_iter().collect()])
                    });
                    prop_assert_eq!(emitted.bundles, expected.collect::<Vec<_>>());
                }
                // The first of a time with the first, the second with the second.
                Method::Exact => {
                    let times: BTreeSet<i64> = items.iter().map(|item| item.time).collect();
                    let mut expected = Vec::new();
                    for time in times {
                        let at = |input| of(input).filter(move |item| item.time == time).collect::<Vec<_>>();
                        let (left, right) = (at(0), at(1));
                        for rank in 0..left.len().max(right.len()) {
                            let of_rank = [left.get(rank), right.get(rank)];
                            let record = of_rank.iter().flatten().next().map(|item| item.position());
                            let parts = of_rank.map(|item| item.iter().map(|item| item.offset).collect::<Vec<_>>());
                            expected.push((time, record, parts.to_vec()));
                        }
                    }
                    prop_assert_eq!(emitted.bundles, expected);
                }
                _ => {
                    let used: Vec<Vec<i64>> = (0..2)
                        .map(|input| emitted.bundles.iter().flat_map(|(_, _, parts)| parts[input].clone()).collect())
                        .collect();
                    prop_assert!(used.iter().all(|offsets| offsets.is_sorted_by(|a, b| a < b)), "once, and uncrossed");
                }
            }
        }
    }
}

#[test]
fn a_sample_that_comes_before_others_of_its_time_moves_them_on() {
    let mut policy = policy(Method::Exact, Join::Pivot, 2);
    policy.inputs.iter_mut().for_each(|input| input.out_of_orderness = Duration::from_nanos(2));
    let mut run = Run::new(&policy, true);
    for (input, offset, time) in [(0, 7, 100), (0, 5, 100), (1, 1, 100), (1, 2, 100), (0, 6, 100)] {
        run.push(Item { input, offset, time, id: None }).expect("nothing is wrong");
    }
    let emitted = run.finish().expect("nothing is wrong");
    let parts: Vec<_> = emitted.bundles.into_iter().map(|(_, _, parts)| parts).collect();
    assert_eq!(parts, [[vec![5], vec![1]], [vec![6], vec![2]], [vec![7], vec![]]]);
}

#[test]
fn a_limited_number_of_ids_of_one_time_is_remembered() {
    let mut run = Run::new(&policy(Method::Pivot(InputId(0)), Join::Pivot, 1), true);
    let most = i64::try_from(super::same_time::SameTimeIds::MOST).expect("few");
    for again in 0..2 {
        for id in 0..=most {
            let offset = again * (most + 1) + id;
            run.push(Item { input: 0, offset, time: 1, id: Some(id.unsigned_abs()) })
                .expect("nothing is wrong");
        }
    }
    let emitted = run.finish().expect("nothing is wrong");
    let duplicates = emitted.ended.values().filter(|how| **how == "duplicate").count();
    assert_eq!(i64::try_from(duplicates), Ok(most), "one more is beyond recognition");
}
