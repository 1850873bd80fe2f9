//! A partition that is read, ended in any order, committed and taken over at any moment, against a model of it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::position::{InputId, Offset};

const PARTITION: PartitionId = PartitionId { input: InputId(0), partition: 0 };

fn at(offset: i64) -> Position {
    Position { partition: PARTITION, offset: Offset(offset) }
}

/// Numbers as good as at random, so that a failing case replays.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// In which order the records in flight end.
#[derive(Clone, Copy, Debug)]
enum Order {
    Any,
    /// As they came.
    First,
    /// The last to come is the first to go, and the very first of all stands still for long.
    Last,
    /// Every other record, so that the map is as long as it can be.
    EveryOther,
}

/// Life after life of a partition's owner.
struct World {
    records: Vec<i64>,
    limit: usize,
    under_way: usize,
    /// What has ended for good: its end was committed together with the position and map.
    committed: BTreeSet<i64>,
    commit: (NextOffset, String),
    chance: Chance,
    order: Order,
    longest: usize,
    withheld: usize,
    pauses: usize,
}

/// One life.
struct Life {
    ledger: Ledger<()>,
    assignment: u32,
    /// The index of the next record to read.
    cursor: usize,
    /// How many more records are read although the partition is full; `None` if it is not.
    left: Option<usize>,
    open: BTreeSet<i64>,
    ended: BTreeSet<i64>,
}

impl World {
    fn new(records: Vec<i64>, limit: usize, under_way: usize, seed: u64, order: Order) -> Self {
        let start = NextOffset(records.first().copied().unwrap_or(0));
        Self {
            records,
            limit,
            under_way,
            committed: BTreeSet::new(),
            commit: (start, String::new()),
            chance: Chance(seed),
            order,
            longest: 0,
            withheld: 0,
            pauses: 0,
        }
    }

    /// Begins where the last commit says.
    fn begin(&self, assignment: u32) -> Life {
        let mut ledger = Ledger::with_records_under_way(self.limit, self.under_way);
        let (start, metadata) = &self.commit;
        let map = Completion::decode(*start, metadata).expect("our own map");
        for offset in &self.records {
            let told = *offset < start.0 || map.contains(Offset(*offset));
            assert_eq!(told, self.committed.contains(offset), "offset {offset} from {start:?} with {map:?}");
        }
        ledger.assign(PARTITION, *start, &map, assignment);
        let cursor = self.records.partition_point(|offset| *offset < start.0);
        Life { ledger, assignment, cursor, left: None, open: BTreeSet::new(), ended: self.committed.clone() }
    }

    fn read(&mut self, life: &mut Life) {
        for _ in 0..1 + self.chance.below(40) {
            let Some(offset) = self.records.get(life.cursor).copied() else { return };
            match &mut life.left {
                Some(0) => return,
                Some(left) => *left -= 1,
                None => {}
            }
            life.cursor += 1;
            life.ledger.open(at(offset), life.assignment);
            if !self.committed.contains(&offset) {
                life.open.insert(offset);
            }
            self.look(life);
        }
    }

    fn look(&mut self, life: &mut Life) {
        if let Some(crowded) = life.ledger.crowded() {
            let full = crowded.contains(&(PARTITION, Crowding::Full));
            self.pauses += usize::from(full && life.left.is_none());
            life.left = full.then(|| life.left.unwrap_or(self.under_way));
        }
        assert!(life.left.is_none() || !life.open.is_empty(), "nothing is in flight, and yet intake pauses");
    }

    fn end(&mut self, life: &mut Life) {
        for _ in 0..1 + self.chance.below(40) {
            let count = life.open.len();
            let index = match self.order {
                Order::Any => self.chance.below(count),
                Order::First => 0,
                Order::Last => count.saturating_sub(1),
                Order::EveryOther => life.open.iter().position(|offset| offset % 2 == 1).unwrap_or(0),
            };
            let Some(offset) = life.open.iter().nth(index).copied() else { return };
            life.open.remove(&offset);
            assert!(life.ended.insert(offset), "{offset} is done twice");
            let how = self.chance.below(3);
            let verdict = match how {
                0 => life.ledger.release(at(offset), life.assignment, 0),
                _ => {
                    life.ledger.settle(at(offset), life.assignment, Settled::Published);
                    life.ledger.release(at(offset), life.assignment, 1)
                }
            };
            assert!(verdict.is_some(), "{offset} has not ended");
            self.look(life);
        }
    }

    fn commit(&mut self, life: &mut Life) {
        let commits = life.ledger.committable();
        self.withheld += life.ledger.withheld().map_or(0, |withheld| withheld.len());
        for Commit { next, metadata, .. } in commits {
            assert!(metadata.len() <= self.limit);
            assert!(next >= self.commit.0);
            self.longest = self.longest.max(metadata.len());
            self.commit = (next, metadata);
            // In one transaction with what was done.
            self.committed.clone_from(&life.ended);
        }
    }

    /// Runs until all has ended and is committed.
    fn run(&mut self, crashes: usize) {
        let mut lives = 1;
        let mut life = self.begin(lives);
        for step in 0.. {
            assert!(step < 200_000, "it does not come to an end");
            match self.chance.below(100) {
                0..45 => self.read(&mut life),
                45..80 => self.end(&mut life),
                80..98 => self.commit(&mut life),
                _ if lives as usize <= crashes => {
                    lives += 1;
                    life = self.begin(lives);
                }
                _ => {}
            }
            if life.ended.len() == self.records.len() {
                break;
            }
        }
        self.commit(&mut life);
        let last = self.records.last().copied().unwrap_or(0);
        assert_eq!(self.commit.0, NextOffset(last + 1));
        self.begin(lives + 1);
    }
}

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Any), Just(Order::First), Just(Order::Last), Just(Order::EveryOther)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A few offsets are missing, as with the markers of transactions.
    #[test]
    fn whatever_ends_before_and_after_a_crash_is_all_and_each_once_and_every_map_fits(
        count in 1_i64..3_000,
        missing in 20_u64..200,
        (limit, under_way) in (160_usize..700, 0_usize..500),
        crashes in 0_usize..20,
        seed: u64,
        order in orders(),
    ) {
        let start = (seed % 1_000) as i64;
        let records = (start..start + count).filter(|offset| !(*offset as u64).is_multiple_of(missing));
        let mut world = World::new(records.collect(), limit, under_way, seed, order);
        world.run(crashes);
        prop_assert_eq!(world.withheld, 0);
    }

    /// Where offsets are missing at will nobody can say how long a map becomes before all of it is read: it may have to
    /// wait, but is never cut, and nothing stands still.
    #[test]
    fn with_offsets_missing_at_will_nothing_is_lost_or_done_twice_either(
        gaps in prop::collection::vec(prop_oneof![8 => 1_i64..3, 2 => 1_i64..100, 1 => 1_i64..1_000_000], 1..800),
        limit in 60_usize..400,
        under_way in 0_usize..100,
        crashes in 0_usize..20,
        seed: u64,
        order in orders(),
    ) {
        let mut offset = 0;
        let records = gaps.into_iter().map(|gap| { offset += gap; offset });
        World::new(records.collect(), limit, under_way, seed, order).run(crashes);
    }
}

/// A ledger of one partition, full to the limit, with none ended.
fn filled(limit: usize) -> (Ledger<()>, i64) {
    let mut ledger = Ledger::new(limit);
    ledger.assign(PARTITION, NextOffset(0), &Completion::default(), 1);
    let mut next = 0;
    let mut full = None;
    while full.is_none_or(|full| next < full + RECORDS_UNDER_WAY as i64) {
        ledger.open(at(next), 1);
        next += 1;
        if ledger.crowded().is_some_and(|crowded| crowded == [(PARTITION, Crowding::Full)]) {
            full = Some(next);
        }
    }
    (ledger, next)
}

#[test]
fn every_other_record_of_a_full_partition_may_end_and_its_map_fits_the_brokers_limit() {
    let (mut ledger, records) = filled(4096);
    assert!(records > 20_000, "{records}");
    // At random, so that nothing can be deflated.
    let mut chance = Chance(1);
    for offset in 1..records {
        if chance.below(2) == 0 {
            ledger.end(at(offset), 1);
        }
    }
    let commits = ledger.committable();
    assert_eq!((commits.len(), ledger.withheld()), (1, None));
    assert!((3_000..=4_096).contains(&commits[0].metadata.len()), "{}", commits[0].metadata.len());
}

#[test]
fn a_partition_slows_before_it_is_full_and_is_read_again_once_the_gap_closes() {
    let mut ledger: Ledger<()> = Ledger::with_records_under_way(1_000, 100);
    ledger.assign(PARTITION, NextOffset(0), &Completion::default(), 1);
    let mut told = Vec::new();
    for offset in 0..6_000 {
        ledger.open(at(offset), 1);
        told.extend(ledger.crowded());
    }
    let (slow, full) = ([(PARTITION, Crowding::Slow)], [(PARTITION, Crowding::Full)]);
    assert_eq!(told, [slow.to_vec(), full.to_vec()]);
    told.clear();
    for offset in 0..6_000 {
        ledger.end(at(offset), 1);
        told.extend(ledger.crowded());
    }
    assert_eq!(told, [slow.to_vec(), Vec::new()]);
}

#[test]
fn a_record_that_stands_still_does_not_hold_up_the_partition() {
    let mut ledger: Ledger<()> = Ledger::new(4096);
    ledger.assign(PARTITION, NextOffset(0), &Completion::default(), 1);
    for offset in 0..1_000_000 {
        ledger.open(at(offset), 1);
        if offset >= 5_000 {
            ledger.end(at(offset - 4_999), 1);
        }
        assert!(ledger.crowded().is_none_or(|crowded| crowded.is_empty() || crowded[0].1 == Crowding::Slow));
    }
    let commits = ledger.committable();
    assert_eq!(commits[0].next, NextOffset(0));
    assert!(commits[0].metadata.len() < 40);
}

#[test]
fn a_map_that_does_not_fit_is_withheld_and_said_and_told_once_it_fits() {
    let mut ledger: Ledger<()> = Ledger::new(60);
    ledger.assign(PARTITION, NextOffset(0), &Completion::default(), 1);
    let mut chance = Chance(2);
    let (some, rest): (Vec<i64>, Vec<i64>) =
        (0..1_000).partition(|offset| *offset > 0 && chance.below(2) == 0);
    for offset in 0..1_000 {
        ledger.open(at(offset), 1);
    }
    for offset in some {
        ledger.end(at(offset), 1);
    }
    assert!(ledger.committable().is_empty());
    assert_eq!(ledger.withheld(), Some(vec![PARTITION]));
    assert_eq!((ledger.committable(), ledger.positions(), ledger.withheld()), (vec![], vec![], None));
    for offset in rest {
        ledger.end(at(offset), 1);
    }
    assert_eq!(ledger.committable()[0].next, NextOffset(1_000));
    assert_eq!(ledger.withheld(), Some(vec![]));
}

#[test]
fn a_map_that_was_read_back_stays_in_every_map_until_its_records_are_behind_the_position() {
    let mut ended = Completion::default();
    ended.insert(Offset(12), NextOffset(15));
    ended.insert(Offset(20), NextOffset(30));
    let mut ledger: Ledger<()> = Ledger::new(4096);
    ledger.assign(PARTITION, NextOffset(10), &ended, 1);
    let told = |commits: Vec<Commit>| {
        let map = Completion::decode(commits[0].next, &commits[0].metadata).expect("our own");
        (commits[0].next.0, map.runs().iter().map(|run| (run.from.0, run.to.0)).collect::<Vec<_>>())
    };
    assert_eq!(told(ledger.positions()), (10, vec![(12, 15), (20, 30)]));
    for offset in [10, 11, 12, 13] {
        ledger.open(at(offset), 1);
    }
    ledger.end(at(11), 1);
    assert_eq!(told(ledger.committable()), (10, vec![(11, 15), (20, 30)]));
    ledger.end(at(10), 1);
    assert_eq!(told(ledger.committable()), (15, vec![(20, 30)]));
    // 15 to 19 prove to be missing.
    ledger.open(at(20), 1);
    assert_eq!(told(ledger.committable()), (30, vec![]));
    assert_eq!(ledger.in_flight(), 0);
    let outcomes: BTreeMap<i64, bool> =
        [13, 20].map(|offset| (offset, ledger.release(at(offset), 1, 0).is_some())).into();
    assert_eq!(outcomes, BTreeMap::from([(13, false), (20, false)]), "they had ended");
}

#[test]
fn what_is_said_of_a_partition_that_has_gone_is_taken_back() {
    let mut ledger: Ledger<()> = Ledger::new(60);
    ledger.assign(PARTITION, NextOffset(0), &Completion::default(), 1);
    ledger.open(at(0), 1);
    assert_eq!(ledger.crowded(), Some(vec![(PARTITION, Crowding::Full)]));
    ledger.revoke(PARTITION, 1);
    assert_eq!(ledger.crowded(), Some(vec![]));
    assert_eq!(ledger.crowded(), None);
}
