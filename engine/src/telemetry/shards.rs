//! Shards that become more or fewer, and the streams that move for it.
#![allow(clippy::disallowed_macros, reason = "named here as in the file above")]

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

pub(super) fn describe() {
    describe_gauge!("lockstep_shards", "sync actors that streams are spread over");
    describe_counter!("lockstep_moved_streams_total", "streams that went from one sync actor to another");
    describe_histogram!(
        "lockstep_moved_stream_pause_seconds",
        Unit::Seconds,
        "from the order to move streams until a stream had arrived, which its samples waited at most"
    );
}

/// Streams are spread over so many shards from here on.
pub fn count(shards: usize) {
    gauge!("lockstep_shards").set(shards as f64);
}

/// Streams have arrived at another shard, so long after it was told to them to move.
pub fn moved(streams: usize, pause: Duration) {
    counter!("lockstep_moved_streams_total").increment(streams as u64);
    histogram!("lockstep_moved_stream_pause_seconds").record_many(pause.as_secs_f64(), streams);
}
