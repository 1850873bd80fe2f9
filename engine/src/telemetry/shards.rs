//! Metrics of the number of shards, and of the streams that move between them.
#![allow(clippy::disallowed_macros, reason = "a part of the one place where metrics are named")]

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

pub(super) fn describe() {
    describe_gauge!("lockstep_shards", "align actors that hold streams");
    describe_counter!("lockstep_moved_streams_total", "streams that moved from one align actor to another");
    describe_histogram!(
        "lockstep_moved_stream_pause_seconds",
        Unit::Seconds,
        "time from the command to move streams until a stream has arrived; its samples wait at most this time"
    );
}

/// Sets the number of shards.
pub fn count(shards: usize) {
    gauge!("lockstep_shards").set(shards as f64);
}

/// Counts streams that have arrived at another shard, `pause` after the command to move them.
pub fn moved(streams: usize, pause: Duration) {
    counter!("lockstep_moved_streams_total").increment(streams as u64);
    histogram!("lockstep_moved_stream_pause_seconds").record_many(pause.as_secs_f64(), streams);
}
