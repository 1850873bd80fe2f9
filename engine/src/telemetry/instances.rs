//! Metrics of the number of instances.
#![allow(clippy::disallowed_macros, reason = "a part of the one place where metrics are named")]

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::infer::unit::UnitId;

pub(super) fn describe() {
    describe_gauge!("lockstep_instances", "instances of a step that take batches");
    describe_counter!(
        "lockstep_instance_load_failures_total",
        "additional instances of a step whose model could not be loaded"
    );
}

/// Sets the number of instances of a step.
pub fn count(unit: &UnitId, instances: usize) {
    gauge!("lockstep_instances", "step" => unit.step().to_owned(), "version" => unit.version().to_owned())
        .set(instances as f64);
}

/// Counts an additional instance that could not be loaded.
pub fn load_failed(unit: &UnitId) {
    counter!("lockstep_instance_load_failures_total", "step" => unit.step().to_owned(), "version" => unit.version().to_owned()).increment(1);
}
