//! Metrics of what others write into the inputs, and of how far it has been read.
#![allow(clippy::disallowed_macros, reason = "named here as in the file above")]

use metrics::{describe_gauge, gauge};

use crate::ingest::copartition::Fit;
use crate::ingest::partitioner::Partitioner;
use crate::position::PartitionId;

pub(super) fn describe() {
    describe_gauge!(
        "lockstep_consumer_lag_records",
        "records between the position and the end of what can be read of a partition"
    );
    describe_gauge!(
        "lockstep_held_back_records",
        "offsets of a partition behind a transaction that has been open for long, its own among them"
    );
    describe_gauge!(
        "lockstep_partitioner_match_ratio",
        "share of an input's streams seen lately that lie where this partitioner puts them"
    );
    describe_gauge!(
        "lockstep_copartition_conflict",
        "1 while the producers of this input and of another choose partitions differently"
    );
}

/// How far reading is behind the end of a partition; not a number when it is no longer ours.
pub fn lag(input: &str, partition: PartitionId, records: Option<i64>) {
    let partition = partition.partition.to_string();
    gauge!("lockstep_consumer_lag_records", "input" => input.to_owned(), "partition" => partition)
        .set(records.map_or(f64::NAN, |records| records.max(0) as f64));
}

/// How much an open transaction holds back of a partition; not a number when it holds nothing back any more.
pub fn held_back(input: &str, partition: PartitionId, offsets: Option<u64>) {
    let partition = partition.partition.to_string();
    gauge!("lockstep_held_back_records", "input" => input.to_owned(), "partition" => partition)
        .set(offsets.map_or(f64::NAN, |offsets| offsets as f64));
}

/// Where the streams of an input lie, and whether those of another lie elsewhere.
pub fn copartition(input: &str, fit: Fit, is_conflict: bool) {
    for (rule, explained) in Partitioner::ALL.iter().zip(fit.explained) {
        let ratio = if fit.streams == 0 { f64::NAN } else { explained as f64 / fit.streams as f64 };
        gauge!("lockstep_partitioner_match_ratio", "input" => input.to_owned(), "partitioner" => rule.as_str())
            .set(ratio);
    }
    gauge!("lockstep_copartition_conflict", "input" => input.to_owned())
        .set(f64::from(u8::from(is_conflict)));
}
