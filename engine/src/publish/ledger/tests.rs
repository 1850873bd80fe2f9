use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::fault::{Reason, StageKind};
use crate::position::{InputId, Offset};

const PARTITION: PartitionId = PartitionId { input: InputId(0), partition: 3 };

fn at(offset: i64) -> Position {
    Position { partition: PARTITION, offset: Offset(offset) }
}

/// The offsets to commit.
fn committable<T>(ledger: &mut Ledger<T>) -> Vec<(PartitionId, NextOffset)> {
    ledger.committable().into_iter().map(|commit| (commit.partition, commit.next)).collect()
}

fn fault() -> Fault {
    Fault::new(StageKind::Infer, Reason::ModelFailed, "no")
}

fn ledger(records: std::ops::Range<i64>) -> (Ledger<i64>, u32) {
    let mut ledger = Ledger::new(4096);
    let assignment = 1;
    ledger.assign(PARTITION, NextOffset(records.start), &Progress::default(), assignment);
    for offset in records {
        ledger.open(at(offset), assignment);
    }
    (ledger, assignment)
}

#[test]
fn commit_never_passes_a_buffered_record() {
    let (mut ledger, a) = ledger(10..13);
    for offset in [11, 12] {
        ledger.settle(at(offset), a, Settled::Published);
        assert!(matches!(ledger.release(at(offset), a, 1), Some(RecordOutcome::Published)));
    }
    ledger.settle(at(10), a, Settled::Published);
    assert_eq!(committable(&mut ledger), [(PARTITION, NextOffset(10))], "with a map that has changed");
    ledger.release(at(10), a, 1);
    assert_eq!(committable(&mut ledger), [(PARTITION, NextOffset(13))]);
    assert!(ledger.committable().is_empty(), "said once");
}

#[test]
fn record_is_dead_lettered_only_if_no_result_contains_it() {
    let (mut ledger, a) = ledger(0..2);
    for offset in [0, 1] {
        assert!(ledger.settle(at(offset), a, Settled::Failed(offset, fault())).is_none());
    }
    assert!(ledger.settle(at(0), a, Settled::Published).is_none());
    assert!(matches!(ledger.release(at(0), a, 2), Some(RecordOutcome::Published)));
    assert!(matches!(ledger.release(at(1), a, 1), Some(RecordOutcome::DeadLetter(1, _))));
    assert_eq!(committable(&mut ledger), [(PARTITION, NextOffset(1))]);
    ledger.end(at(1), a);
    assert_eq!(committable(&mut ledger), [(PARTITION, NextOffset(2))]);
}

#[test]
fn leftovers_of_an_earlier_assignment_do_not_count() {
    let (mut ledger, old) = ledger(0..1);
    ledger.revoke(PARTITION, old);
    let new = old + 1;
    ledger.assign(PARTITION, NextOffset(0), &Progress::default(), new);
    ledger.open(at(0), new);
    ledger.end(at(0), old);
    ledger.revoke(PARTITION, old);
    assert_eq!(committable(&mut ledger), [(PARTITION, NextOffset(0))], "the initial offset, and no further");
    ledger.end(at(0), new);
    assert_eq!(committable(&mut ledger), [(PARTITION, NextOffset(1))]);
}

#[test]
fn initial_position_is_committed_before_any_record_ends() {
    let mut ledger: Ledger<()> = Ledger::new(4096);
    ledger.assign(PARTITION, NextOffset(7), &Progress::default(), 1);
    ledger.open(at(7), 1);
    assert_eq!(committable(&mut ledger), [(PARTITION, NextOffset(7))]);
    assert!(ledger.committable().is_empty(), "it is told once");
}

#[test]
fn position_passes_over_missing_offsets() {
    let mut ledger: Ledger<()> = Ledger::new(4096);
    let a = 1;
    ledger.assign(PARTITION, NextOffset(5), &Progress::default(), a);
    for offset in [5, 9, 40] {
        ledger.open(at(offset), a);
    }
    ledger.end(at(9), a);
    ledger.end(at(5), a);
    assert_eq!(committable(&mut ledger), [(PARTITION, NextOffset(10))]);
    ledger.end(at(40), a);
    assert_eq!(committable(&mut ledger), [(PARTITION, NextOffset(41))]);
}

proptest! {
    /// Records in random bundles, all events in random order, against the definition.
    #[test]
    fn commit_is_the_first_record_that_has_not_ended(
        offsets in prop::collection::btree_set(0i64..60, 1..20),
        bundles in prop::collection::vec((any::<prop::sample::Index>(), 0u8..3), 0..40),
        order in any::<u64>(),
    ) {
        let offsets: Vec<i64> = offsets.into_iter().collect();
        let mut ledger = Ledger::new(4096);
        let a = 1;
        ledger.assign(PARTITION, NextOffset(offsets[0]), &Progress::default(), a);
        for offset in &offsets {
            ledger.open(at(*offset), a);
        }
        let mut used: BTreeMap<i64, u32> = BTreeMap::new();
        let mut events: Vec<(i64, Option<u8>)> = offsets.iter().map(|offset| (*offset, None)).collect();
        for (which, how) in bundles {
            let offset = *which.get(&offsets);
            *used.entry(offset).or_default() += 1;
            events.push((offset, Some(how)));
        }
        // A simple shuffle, so that a failing case replays.
        let mut state = order | 1;
        for i in (1..events.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            events.swap(i, (state >> 33) as usize % (i + 1));
        }
        let mut left: BTreeMap<i64, u32> =
            offsets.iter().map(|offset| (*offset, used.get(offset).copied().unwrap_or(0) + 1)).collect();
        let mut committed = offsets[0];
        for (offset, event) in events {
            let verdict = match event {
                None => ledger.release(at(offset), a, used.get(&offset).copied().unwrap_or(0)),
                Some(0) => ledger.settle(at(offset), a, Settled::Published),
                Some(1) => ledger.settle(at(offset), a, Settled::Dropped),
                Some(_) => ledger.settle(at(offset), a, Settled::Failed(offset, fault())),
            };
            let count = left.get_mut(&offset).expect("opened");
            *count -= 1;
            prop_assert_eq!(verdict.is_some(), *count == 0);
            if let Some(RecordOutcome::DeadLetter(record, _)) = verdict {
                prop_assert_eq!(record, offset);
                ledger.end(at(offset), a);
            }
            if let Some((_, next)) = committable(&mut ledger).first() {
                committed = next.0;
            }
            let expected = match offsets.iter().find(|offset| left[offset] > 0) {
                Some(open) => offsets.iter().rev().find(|o| *o < open).map_or(offsets[0], |o| o + 1),
                None => offsets[offsets.len() - 1] + 1,
            };
            prop_assert_eq!(committed, expected);
        }
        prop_assert_eq!(ledger.in_flight(), 0);
    }
}
