//! Somebody who watches what becomes of bundles and records: a demo's summary, a benchmark's figures.

use std::time::Duration;

use lockstep_engine::fault::Fault;
use lockstep_engine::infer::job::Job;
use lockstep_engine::position::InputId;
use lockstep_engine::publish::result::Timing;

/// Called on the publish actor's thread; must be quick.
pub trait Observer: Send {
    /// A result was acknowledged, `publish` after it was handed over.
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

/// Nobody watches.
pub struct Unobserved;

impl Observer for Unobserved {}
