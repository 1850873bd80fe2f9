//! An observer of the outcomes of bundles and records, for a demo's summary or a benchmark's figures.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::fault::Fault;
use lockstep_engine::infer::job::Job;
use lockstep_engine::position::InputId;
use lockstep_engine::publish::result::Timing;
use parking_lot::Mutex;

/// Receives outcomes on the publish actor's thread, so its methods must be quick.
pub trait Observer: Send {
    /// A result was acknowledged, `publish` after it was handed to the sink.
    fn published(&mut self, _job: &Job, _timing: &Timing, _publish: Duration) {}
    /// A record came too late.
    fn late(&mut self, _input: InputId) {}
    /// A record ended in no result.
    fn dropped(&mut self, _input: InputId, _reason: &'static str) {}
    /// A record was dead-lettered.
    fn dead_lettered(&mut self, _input: InputId, _fault: &Fault) {}
    /// A record ended in at least one published result.
    fn used(&mut self, _input: InputId) {}
}

/// An observer that a pipeline shares with those that replace it.
#[derive(Clone)]
pub struct SharedObserver(Arc<Mutex<Box<dyn Observer>>>);

impl SharedObserver {
    /// Wraps an observer; each pipeline gets a clone.
    pub fn new(observer: Box<dyn Observer>) -> Self {
        Self(Arc::new(Mutex::new(observer)))
    }
}

impl Observer for SharedObserver {
    fn published(&mut self, job: &Job, timing: &Timing, publish: Duration) {
        self.0.lock().published(job, timing, publish);
    }

    fn late(&mut self, input: InputId) {
        self.0.lock().late(input);
    }

    fn dropped(&mut self, input: InputId, reason: &'static str) {
        self.0.lock().dropped(input, reason);
    }

    fn dead_lettered(&mut self, input: InputId, fault: &Fault) {
        self.0.lock().dead_lettered(input, fault);
    }

    fn used(&mut self, input: InputId) {
        self.0.lock().used(input);
    }
}

/// An observer that ignores everything.
pub struct Unobserved;

impl Observer for Unobserved {}
