//! Pictures that are damaged, and the memory that decoding waits for.
#![allow(clippy::disallowed_macros, reason = "named here as in the file above")]

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

pub(super) fn describe() {
    describe_counter!(
        "lockstep_damaged_total",
        "samples that are damaged and were taken all the same, as their input says"
    );
    describe_gauge!(
        "lockstep_decoding_blocked_seconds_total",
        Unit::Seconds,
        "time that decoding has waited for memory"
    );
}

/// A sample is damaged, and was taken.
pub fn damaged(input: &str) {
    counter!("lockstep_damaged_total", "input" => input.to_owned()).increment(1);
}

/// Decoding has waited for memory.
pub fn decoding_blocked(time: Duration) {
    gauge!("lockstep_decoding_blocked_seconds_total").increment(time.as_secs_f64());
}
