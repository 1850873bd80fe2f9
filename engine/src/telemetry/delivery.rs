//! Metrics of records on their way to the brokers.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

pub(super) fn describe() {
    describe_counter!(
        "lockstep_undeliverable_total",
        "records that were lost because brokers refused even a stub (delivery.on_undeliverable)"
    );
    describe_counter!(
        "lockstep_restamped_total",
        "records stamped with the time of writing because their topic does not keep records of their event time"
    );
    describe_gauge!(
        "lockstep_broker_throttle_seconds",
        Unit::Seconds,
        "delay of a client that a broker imposes because of a quota"
    );
}

/// Sets the delay of a client that brokers impose because of a quota.
pub fn throttled(client: &'static str, delay: Duration) {
    gauge!("lockstep_broker_throttle_seconds", "client" => client).set(delay.as_secs_f64());
}

/// Counts a record stamped with the time of writing because its topic does not keep records of its event time.
pub fn restamped(topic: &str) {
    counter!("lockstep_restamped_total", "topic" => topic.to_owned()).increment(1);
}

/// Counts a record that was lost because brokers refused even a stub of it.
pub fn undeliverable(topic: &str) {
    counter!("lockstep_undeliverable_total", "topic" => topic.to_owned()).increment(1);
}
