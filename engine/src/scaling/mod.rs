//! How many shards and instances work, and how many processes there should be.
//!
//! [`Meter`] makes [`Measures`] of counters that only grow. [`Law`] holds these against a [`ScalingSpec`], and
//! answers with [`Decision`]s, each with the numbers that led to it. What moves shards or loads instances is
//! elsewhere: the law is told how many there are, and asks for another number. [`model`] is a queueing model of a
//! pipeline in virtual time, which the law can be tried on.

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

pub use decision::{Decision, Reason};
pub use law::Law;
pub use limits::{Limits, MOST_INSTANCES, Machine};
pub use measures::{Measures, Scaled, StageLoad};
pub use meter::{Meter, Work};
pub use rate::Rate;
pub use replicas::desired_replicas;
pub use spec::{Bounds, Cooldown, Level, Policy, ScalingSpec, Target};

#[cfg(test)]
mod law_tests;
