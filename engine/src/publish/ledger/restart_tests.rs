//! Restart tests: a partition is read, ended in any order, committed and reassigned at any moment, and compared with a
//! model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::fault::{Reason, StageKind};
use crate::position::{InputId, Offset};

pub(super) const PARTITION: PartitionId = PartitionId { input: InputId(0), partition: 0 };

pub(super) fn at(offset: i64) -> Position {
    Position { partition: PARTITION, offset: Offset(offset) }
}

/// Pseudorandom numbers, so that a failing case replays.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// The order in which the records in flight end.
#[derive(Clone, Copy, Debug)]
enum Order {
    Any,
    /// In the order of arrival.
    First,
    /// Last in, first out; the very first record is stuck for long.
    Last,
    /// Every other record, so that the map is as long as it can be.
    EveryOther,
}

/// A partition with a sequence of owners.
struct World {
    records: Vec<i64>,
    limit: usize,
    under_way: usize,
    /// Records whose end was committed together with the offset and map.
    committed: BTreeSet<i64>,
    /// Records in a published result, ended or not, as of that commit.
    published: BTreeSet<i64>,
    commit: (NextOffset, String),
    chance: Chance,
    order: Order,
    longest: usize,
    withheld: usize,
    pauses: usize,
}

/// One owner of the partition.
struct Life {
    ledger: Ledger<()>,
    assignment: u32,
    /// The index of the next record to read.
    cursor: usize,
    /// The number of records still read although the partition is full; `None` if it is not full.
    left: Option<usize>,
    open: BTreeSet<i64>,
    ended: BTreeSet<i64>,
    published: BTreeSet<i64>,
    /// For each open record, the number of its bundles that have ended.
    settled: BTreeMap<i64, u32>,
}

impl World {
    fn new(records: Vec<i64>, limit: usize, under_way: usize, seed: u64, order: Order) -> Self {
        let start = NextOffset(records.first().copied().unwrap_or(0));
        Self {
            records,
            limit,
            under_way,
            committed: BTreeSet::new(),
            published: BTreeSet::new(),
            commit: (start, String::new()),
            chance: Chance(seed),
            order,
            longest: 0,
            withheld: 0,
            pauses: 0,
        }
    }

    /// Begins at the last commit.
    fn begin(&self, assignment: u32) -> Life {
        let mut ledger = Ledger::with_records_under_way(self.limit, self.under_way);
        let (start, metadata) = &self.commit;
        let map = Progress::decode(*start, metadata).expect("our own map");
        for offset in &self.records {
            let told = *offset < start.0 || map.ended.contains(Offset(*offset));
            assert_eq!(told, self.committed.contains(offset), "offset {offset} from {start:?} with {map:?}");
            let published = map.published.contains(Offset(*offset));
            assert_eq!(published, !told && self.published.contains(offset), "{offset}, {start:?}, {map:?}");
        }
        ledger.assign(PARTITION, *start, &map, assignment);
        let cursor = self.records.partition_point(|offset| *offset < start.0);
        Life {
            ledger,
            assignment,
            cursor,
            left: None,
            open: BTreeSet::new(),
            ended: self.committed.clone(),
            published: self.published.clone(),
            settled: BTreeMap::new(),
        }
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
        if let Some(under_pressure) = life.ledger.metadata_pressure() {
            let full = under_pressure.contains(&(PARTITION, MetadataPressure::Full));
            self.pauses += usize::from(full && life.left.is_none());
            life.left = full.then(|| life.left.unwrap_or(self.under_way));
        }
        assert!(life.left.is_none() || !life.open.is_empty(), "intake pauses though no record is in flight");
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
            assert!(life.ended.insert(offset), "{offset} has ended twice");
            self.end_one(life, offset);
            self.look(life);
        }
    }

    /// Ends a record in a random way. The ledger must report it as published exactly if it is, in this life or an
    /// earlier one.
    fn end_one(&mut self, life: &mut Life, offset: i64) {
        let assignment = life.assignment;
        let settled = life.settled.remove(&offset).unwrap_or(0);
        let how = self.chance.below(4);
        if how == 3 && settled == 0 {
            // Late, say.
            let is_published = life.ledger.end_if_published(at(offset), assignment);
            assert_eq!(is_published, life.published.contains(&offset), "{offset}");
            life.ledger.end(at(offset), assignment);
            return;
        }
        let last = match how {
            0 => Some(Settled::Published),
            1 => Some(Settled::Dropped),
            2 => Some(Settled::Failed((), Fault::new(StageKind::Infer, Reason::ModelFailed, "no"))),
            _ => None,
        };
        let used = settled + u32::from(last.is_some());
        if how == 0 {
            life.published.insert(offset);
        }
        if let Some(last) = last {
            assert!(life.ledger.settle(at(offset), assignment, last).is_none());
        }
        match life.ledger.release(at(offset), assignment, used) {
            Some(RecordOutcome::Published) => assert!(life.published.contains(&offset), "{offset}"),
            Some(verdict) => {
                assert!(
                    !life.published.contains(&offset),
                    "{offset} is published, but the ledger says {verdict:?}"
                );
                life.ledger.end(at(offset), assignment);
            }
            None => panic!("{offset} has not ended"),
        }
    }

    /// Ends bundles whose records stay for later ones.
    fn settle(&mut self, life: &mut Life) {
        for _ in 0..self.chance.below(40) {
            let index = self.chance.below(life.open.len());
            let Some(offset) = life.open.iter().nth(index).copied() else { return };
            *life.settled.entry(offset).or_default() += 1;
            let is_published = self.chance.below(3) > 0;
            let how = if is_published { Settled::Published } else { Settled::Dropped };
            assert!(life.ledger.settle(at(offset), life.assignment, how).is_none());
            if is_published {
                life.published.insert(offset);
            }
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
            // In one transaction with the results.
            self.committed.clone_from(&life.ended);
            self.published.clone_from(&life.published);
        }
    }

    /// Runs until all records have ended and are committed.
    fn run(&mut self, crashes: usize) {
        let mut lives = 1;
        let mut life = self.begin(lives);
        for step in 0.. {
            assert!(step < 200_000, "the run does not end");
            match self.chance.below(100) {
                0..45 => self.read(&mut life),
                45..55 => self.settle(&mut life),
                55..80 => self.end(&mut life),
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
    fn records_end_exactly_once_across_crashes_and_maps_fit(
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

    /// If arbitrary offsets are missing, the map's length is unknown before all of it is read. The map may have to
    /// wait, but is never cut, and nothing stalls.
    #[test]
    fn records_end_exactly_once_with_missing_offsets(
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

#[test]
fn restored_map_stays_until_the_position_has_passed_it() {
    let mut ended = Progress::default();
    ended.ended.insert(Offset(12), NextOffset(15));
    ended.ended.insert(Offset(20), NextOffset(30));
    let mut ledger: Ledger<()> = Ledger::new(4096);
    ledger.assign(PARTITION, NextOffset(10), &ended, 1);
    let told = |commits: Vec<Commit>| {
        let map = Progress::decode(commits[0].next, &commits[0].metadata).expect("our own").ended;
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

/// A new ledger that begins at the last commit.
fn restarted(commits: &[Commit]) -> Ledger<()> {
    let progress = Progress::decode(commits[0].next, &commits[0].metadata).expect("our own");
    let mut ledger = Ledger::new(4096);
    ledger.assign(PARTITION, commits[0].next, &progress, 1);
    ledger
}

#[test]
fn record_published_before_a_crash_ends_as_published() {
    let mut before: Ledger<()> = Ledger::new(4096);
    before.assign(PARTITION, NextOffset(0), &Progress::default(), 1);
    (0..8).for_each(|offset| before.open(at(offset), 1));
    before.end(at(3), 1);
    before.committable();
    // No record has ended since.
    for offset in [1, 2, 4, 5, 6] {
        assert!(before.settle(at(offset), 1, Settled::Published).is_none());
    }
    assert!(before.has_moved());
    // A second crash, before all of it is read again.
    let mut between = restarted(&before.committable());
    (0..3).for_each(|offset| between.open(at(offset), 1));
    let mut after = restarted(&between.positions());
    (0..8).for_each(|offset| after.open(at(offset), 1));

    let fault = || Fault::new(StageKind::Infer, Reason::ModelFailed, "no");
    for offset in [0, 1] {
        assert!(after.settle(at(offset), 1, Settled::Failed((), fault())).is_none());
    }
    assert!(matches!(after.release(at(0), 1, 1), Some(RecordOutcome::DeadLetter(..))));
    assert!(matches!(after.release(at(1), 1, 1), Some(RecordOutcome::Published)), "a later bundle failed");
    assert!(matches!(after.release(at(2), 1, 0), Some(RecordOutcome::Published)), "no later bundle used it");
    assert!(after.settle(at(4), 1, Settled::Dropped).is_none());
    assert!(
        matches!(after.release(at(4), 1, 1), Some(RecordOutcome::Published)),
        "a later bundle was dropped"
    );
    assert!(after.end_if_published(at(5), 1), "late, say");
    assert!(after.end_if_published(at(6), 1));
    assert!(!after.end_if_published(at(7), 1), "it is in no result");
    after.end(at(0), 1);
    assert_eq!(after.committable()[0].next, NextOffset(7));
    after.end(at(7), 1);
    assert_eq!((after.committable()[0].next, after.in_flight()), (NextOffset(8), 0));
}
