//! Metrics of models in memory.
#![allow(clippy::disallowed_macros, reason = "a part of the one place where metrics are named")]

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::infer::unit::UnitId;

/// The reason why a copy of a model left the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unload {
    /// No bundle had needed it for `unload_after`.
    Idle,
    /// Another model needed the memory.
    Evicted,
    /// Its instance ended or loads it again.
    Ended,
}

impl Unload {
    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Evicted => "evicted",
            Self::Ended => "ended",
        }
    }
}

pub(super) fn describe() {
    describe_gauge!(
        "lockstep_model_resident_bytes",
        Unit::Bytes,
        "bytes of loaded copies of a model, as counted against limits.model_memory"
    );
    describe_counter!("lockstep_model_loads_total", "copies of a model loaded");
    describe_counter!(
        "lockstep_model_unloads_total",
        "copies of a model that left the memory, by the reason"
    );
    describe_counter!("lockstep_model_load_failures_total", "copies of a model that could not be loaded");
    describe_histogram!(
        "lockstep_model_load_seconds",
        Unit::Seconds,
        "time to load a copy of a model, with its warm-up"
    );
    describe_gauge!(
        "lockstep_model_load_memory_bytes",
        Unit::Bytes,
        "growth of the process's memory over the last load of a model"
    );
    describe_gauge!(
        "lockstep_model_unload_memory_bytes",
        Unit::Bytes,
        "memory that the process gave back over the last unload of a model"
    );
}

/// Counts a loaded copy.
pub fn loaded(unit: &UnitId, device: &str, bytes: u64, took: Duration) {
    let (step, version) = (unit.step().to_owned(), unit.version().to_owned());
    counter!("lockstep_model_loads_total", "step" => step.clone(), "version" => version.clone()).increment(1);
    histogram!("lockstep_model_load_seconds", "step" => step.clone(), "version" => version.clone())
        .record(took.as_secs_f64());
    gauge!("lockstep_model_resident_bytes", "step" => step, "version" => version, "device" => device.to_owned())
        .increment(bytes as f64);
}

/// Counts a copy that left the memory.
pub fn unloaded(unit: &UnitId, device: &str, bytes: u64, why: Unload) {
    let (step, version) = (unit.step().to_owned(), unit.version().to_owned());
    counter!("lockstep_model_unloads_total", "step" => step.clone(), "version" => version.clone(), "reason" => why.as_str())
        .increment(1);
    gauge!("lockstep_model_resident_bytes", "step" => step, "version" => version, "device" => device.to_owned())
        .decrement(bytes as f64);
}

/// Counts a copy that could not be loaded.
pub fn load_failed(unit: &UnitId) {
    counter!("lockstep_model_load_failures_total", "step" => unit.step().to_owned(), "version" => unit.version().to_owned())
        .increment(1);
}

/// Sets the memory that the process gave back over the last unload.
pub fn unload_memory(unit: &UnitId, bytes: u64) {
    gauge!("lockstep_model_unload_memory_bytes", "step" => unit.step().to_owned(), "version" => unit.version().to_owned())
        .set(bytes as f64);
}

/// Sets the growth of the process's memory over the last load.
pub fn load_memory(unit: &UnitId, bytes: u64) {
    gauge!("lockstep_model_load_memory_bytes", "step" => unit.step().to_owned(), "version" => unit.version().to_owned())
        .set(bytes as f64);
}
