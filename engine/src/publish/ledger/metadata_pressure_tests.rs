//! Tests of offset-metadata pressure: a partition is slowed or paused in time, and then its map fits however its
//! records end.

use super::restart_tests::{Chance, PARTITION, at};
use super::*;

/// A ledger of one full partition with no record ended.
fn filled(limit: usize) -> (Ledger<()>, i64) {
    let mut ledger = Ledger::new(limit);
    ledger.assign(PARTITION, NextOffset(0), &Progress::default(), 1);
    let mut next = 0;
    let mut full = None;
    while full.is_none_or(|full| next < full + RECORDS_UNDER_WAY as i64) {
        ledger.open(at(next), 1);
        next += 1;
        if ledger
            .metadata_pressure()
            .is_some_and(|under_pressure| under_pressure == [(PARTITION, MetadataPressure::Full)])
        {
            full = Some(next);
        }
    }
    (ledger, next)
}

#[test]
fn map_of_a_full_partition_fits_however_its_records_end() {
    let (mut ledger, records) = filled(4096);
    assert!(records > 14_000, "{records}");
    // Random, so that deflate cannot shrink the map.
    let mut chance = Chance(1);
    for offset in 1..records {
        match chance.below(3) {
            0 => ledger.end(at(offset), 1),
            1 => _ = ledger.settle(at(offset), 1, Settled::Published),
            _ => {}
        }
    }
    let commits = ledger.committable();
    assert_eq!((commits.len(), ledger.withheld()), (1, None));
    assert!((3_000..=4_096).contains(&commits[0].metadata.len()), "{}", commits[0].metadata.len());
}

#[test]
fn partition_slows_before_it_is_full_and_resumes_later() {
    let mut ledger: Ledger<()> = Ledger::with_records_under_way(1_000, 100);
    ledger.assign(PARTITION, NextOffset(0), &Progress::default(), 1);
    let mut told = Vec::new();
    for offset in 0..6_000 {
        ledger.open(at(offset), 1);
        told.extend(ledger.metadata_pressure());
    }
    let (slow, full) = ([(PARTITION, MetadataPressure::Slow)], [(PARTITION, MetadataPressure::Full)]);
    assert_eq!(told, [slow.to_vec(), full.to_vec()]);
    told.clear();
    for offset in 0..6_000 {
        ledger.end(at(offset), 1);
        told.extend(ledger.metadata_pressure());
    }
    assert_eq!(told, [slow.to_vec(), Vec::new()]);
}

#[test]
fn stuck_record_does_not_pause_its_partition() {
    let mut ledger: Ledger<()> = Ledger::new(4096);
    ledger.assign(PARTITION, NextOffset(0), &Progress::default(), 1);
    for offset in 0..1_000_000 {
        ledger.open(at(offset), 1);
        if offset >= 4_000 {
            ledger.end(at(offset - 3_999), 1);
        }
        assert!(ledger.metadata_pressure().is_none_or(
            |under_pressure| under_pressure.is_empty() || under_pressure[0].1 == MetadataPressure::Slow
        ));
    }
    let commits = ledger.committable();
    assert_eq!(commits[0].next, NextOffset(0));
    assert!(commits[0].metadata.len() < 40);
}

#[test]
fn map_that_does_not_fit_is_withheld_until_it_does() {
    let mut ledger: Ledger<()> = Ledger::new(60);
    ledger.assign(PARTITION, NextOffset(0), &Progress::default(), 1);
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
fn revoked_partition_no_longer_counts_as_crowded() {
    let mut ledger: Ledger<()> = Ledger::new(60);
    ledger.assign(PARTITION, NextOffset(0), &Progress::default(), 1);
    ledger.open(at(0), 1);
    assert_eq!(ledger.metadata_pressure(), Some(vec![(PARTITION, MetadataPressure::Full)]));
    ledger.revoke(PARTITION, 1);
    assert_eq!(ledger.metadata_pressure(), Some(vec![]));
    assert_eq!(ledger.metadata_pressure(), None);
}
