//! Statuses for tests.

use lockstep_http::{Bucket, HistogramSnapshot, InputStatus, StatusDocument};

/// A process with one input.
pub(super) fn with_input(name: &str, lag: u64, age: Option<f64>) -> StatusDocument {
    let input =
        InputStatus { lag_records: Some(lag), oldest_event_age_seconds: age, ..InputStatus::default() };
    StatusDocument { inputs: [(name.to_owned(), input)].into(), ..StatusDocument::default() }
}

/// Latencies of this mean, all in the bucket up to 50 ms.
pub(super) fn latencies(count: u64, mean: f64) -> HistogramSnapshot {
    let buckets = vec![Bucket { up_to: Some(0.05), count }, Bucket { up_to: None, count: 0 }];
    HistogramSnapshot { count, sum: count as f64 * mean, buckets }
}
