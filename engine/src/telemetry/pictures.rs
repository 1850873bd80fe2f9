//! Metrics of damaged pictures, and of decoding that waits for memory.
#![allow(clippy::disallowed_macros, reason = "a part of the one place where metrics are named")]

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

pub(super) fn describe() {
    describe_counter!(
        "lockstep_damaged_total",
        "damaged samples that were accepted because their input allows it"
    );
    describe_gauge!(
        "lockstep_decoding_blocked_seconds_total",
        Unit::Seconds,
        "time that decoding has waited for memory"
    );
}

/// Counts a damaged sample that was accepted.
pub fn damaged(input: &str) {
    counter!("lockstep_damaged_total", "input" => input.to_owned()).increment(1);
}

/// Adds time that decoding has waited for memory.
pub fn decoding_blocked(time: Duration) {
    gauge!("lockstep_decoding_blocked_seconds_total").increment(time.as_secs_f64());
}
