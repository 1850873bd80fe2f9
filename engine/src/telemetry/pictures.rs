//! Metrics of damaged pictures, of decoding that waits for memory, and of detections in pictures.
#![allow(clippy::disallowed_macros, reason = "a part of the one place where metrics are named")]

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

pub(super) fn describe() {
    describe_counter!(
        "lockstep_damaged_total",
        "damaged samples that were accepted because their input allows it"
    );
    describe_counter!(
        "lockstep_detections_left_out_total",
        "detections for which a step did not run because their bundle has more than each_max"
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

/// Counts detections of a bundle for which a step does not run.
pub fn detections_left_out(step: &str, count: usize) {
    counter!("lockstep_detections_left_out_total", "step" => step.to_owned()).increment(count as u64);
}
