//! Instances that become more or fewer.
#![allow(clippy::disallowed_macros, reason = "named here as in the file above")]

use metrics::{counter, describe_counter, describe_gauge, gauge};

pub(super) fn describe() {
    describe_gauge!("lockstep_instances", "instances of a step that take batches");
    describe_counter!(
        "lockstep_instance_load_failures_total",
        "further instances of a step whose model could not be loaded"
    );
}

/// A step has so many from here on.
pub fn count(step: &str, instances: usize) {
    gauge!("lockstep_instances", "step" => step.to_owned()).set(instances as f64);
}

/// One more was to come and could not be loaded.
pub fn load_failed(step: &str) {
    counter!("lockstep_instance_load_failures_total", "step" => step.to_owned()).increment(1);
}
