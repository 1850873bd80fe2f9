//! Metrics of the input topics: their producers, and the consumer lag.
#![allow(clippy::disallowed_macros, reason = "a part of the one place where metrics are named")]

use metrics::{describe_gauge, gauge};

use crate::ingest::copartition::Fit;
use crate::ingest::partitioner::Partitioner;
use crate::position::PartitionId;

pub(super) fn describe() {
    describe_gauge!(
        "lockstep_consumer_lag_records",
        "records between the offset read and the end of the readable part of a partition"
    );
    describe_gauge!(
        "lockstep_held_back_records",
        "offsets of a partition that a transaction open for long holds back, including its own"
    );
    describe_gauge!(
        "lockstep_partitioner_match_ratio",
        "share of an input's recent streams in the partition that this partitioner would choose"
    );
    describe_gauge!(
        "lockstep_copartition_conflict",
        "1 while the producers of this input and of another choose partitions differently"
    );
}

/// Sets the consumer lag of a partition; NaN when the partition is no longer assigned.
pub fn lag(input: &str, partition: PartitionId, records: Option<i64>) {
    let partition = partition.partition.to_string();
    gauge!("lockstep_consumer_lag_records", "input" => input.to_owned(), "partition" => partition)
        .set(records.map_or(f64::NAN, |records| records.max(0) as f64));
}

/// Sets the offsets that an open transaction holds back in a partition; NaN when it holds back none.
pub fn held_back(input: &str, partition: PartitionId, offsets: Option<u64>) {
    let partition = partition.partition.to_string();
    gauge!("lockstep_held_back_records", "input" => input.to_owned(), "partition" => partition)
        .set(offsets.map_or(f64::NAN, |offsets| offsets as f64));
}

/// Sets how well each partitioner explains the partitions of an input's streams, and whether another input conflicts.
pub fn copartition(input: &str, fit: Fit, is_conflict: bool) {
    for (rule, explained) in Partitioner::ALL.iter().zip(fit.explained) {
        let ratio = if fit.streams == 0 { f64::NAN } else { explained as f64 / fit.streams as f64 };
        gauge!("lockstep_partitioner_match_ratio", "input" => input.to_owned(), "partitioner" => rule.as_str())
            .set(ratio);
    }
    gauge!("lockstep_copartition_conflict", "input" => input.to_owned())
        .set(f64::from(u8::from(is_conflict)));
}
