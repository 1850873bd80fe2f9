//! Autoscaling: the number of shards and instances of a process, and the desired number of processes.
//!
//! [`Meter`] makes [`Measures`] of counters that only grow. [`Law`] compares these with a [`ScalingSpec`], and answers
//! with [`Decision`]s, each with the numbers that led to it. The law does not move shards or load instances itself: it
//! gets the current numbers and returns the desired ones. [`model`] is a queueing model of a pipeline in virtual time,
//! to try the law on.

mod decision;
mod excess;
mod law;
mod limits;
mod measures;
mod meter;
pub mod model;
mod rate;
mod replicas;
mod spec;
mod tracks;

pub use decision::{Decision, ScalingReason};
pub use law::Law;
pub use limits::{CountLimits, MOST_INSTANCES, MachineResources};
pub use measures::{Measures, Scaled, StageLoad};
pub use meter::{Meter, StageWork};
pub use rate::Rate;
pub use replicas::desired_replicas;
pub use spec::{Cooldown, CountBounds, Level, Policy, ScalingSpec, ScalingTarget};

#[cfg(test)]
mod law_tests;
