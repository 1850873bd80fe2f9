//! What the pipeline says of its health.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Shared by all actors of a pipeline and read by the health endpoint.
#[derive(Debug, Default)]
pub struct Status {
    /// Models are loaded and the source runs.
    pub running: AtomicBool,
    /// Partitions that are ours.
    pub partitions: AtomicUsize,
    /// Bundles that have closed and whose results have not been acknowledged.
    pub bundles_in_flight: AtomicUsize,
    /// Results acknowledged.
    pub results: AtomicU64,
    /// The last trouble that the source told of, until it reads again.
    trouble: Mutex<Option<String>>,
    /// Why the pipeline failed, if it did.
    failure: Mutex<Option<String>>,
}

impl Status {
    /// Notes trouble, or that there is none any more.
    pub fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock() = trouble;
    }

    /// Notes why the pipeline failed; the first reason stays.
    pub fn set_failure(&self, why: &str) {
        self.failure.lock().get_or_insert_with(|| why.to_owned());
    }

    /// Whether bundles are under way.
    pub fn is_busy(&self) -> bool {
        self.bundles_in_flight.load(Ordering::Relaxed) > 0
    }

    /// The last trouble.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Why the pipeline failed.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Whether it takes records and makes results.
    pub fn is_ready(&self) -> bool {
        self.running.load(Ordering::Relaxed) && self.failure.lock().is_none()
    }
}
