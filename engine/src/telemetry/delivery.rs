//! What becomes of records on their way to the brokers.

use metrics::{counter, describe_counter};

pub(super) fn describe() {
    describe_counter!(
        "lockstep_undeliverable_total",
        "records of which nothing could be kept (delivery.on_undeliverable)"
    );
    describe_counter!(
        "lockstep_restamped_total",
        "records stamped with the time of writing, as their topic keeps none of their event time"
    );
}

/// A record was stamped with the time of writing, as its topic would not keep it by its event time.
pub fn restamped(topic: &str) {
    counter!("lockstep_restamped_total", "topic" => topic.to_owned()).increment(1);
}

/// A record was dropped, as not even a stub of it was taken.
pub fn undeliverable(topic: &str) {
    counter!("lockstep_undeliverable_total", "topic" => topic.to_owned()).increment(1);
}
