//! What becomes of records on their way to the brokers.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

pub(super) fn describe() {
    describe_counter!(
        "lockstep_undeliverable_total",
        "records of which nothing could be kept (delivery.on_undeliverable)"
    );
    describe_counter!(
        "lockstep_restamped_total",
        "records stamped with the time of writing, as their topic keeps none of their event time"
    );
    describe_gauge!(
        "lockstep_broker_throttle_seconds",
        Unit::Seconds,
        "by how much a broker delays a client because of a quota"
    );
}

/// Brokers delay a client by so much, by a quota.
pub fn throttled(client: &'static str, delay: Duration) {
    gauge!("lockstep_broker_throttle_seconds", "client" => client).set(delay.as_secs_f64());
}

/// A record was stamped with the time of writing, as its topic would not keep it by its event time.
pub fn restamped(topic: &str) {
    counter!("lockstep_restamped_total", "topic" => topic.to_owned()).increment(1);
}

/// A record was dropped, as not even a stub of it was taken.
pub fn undeliverable(topic: &str) {
    counter!("lockstep_undeliverable_total", "topic" => topic.to_owned()).increment(1);
}
