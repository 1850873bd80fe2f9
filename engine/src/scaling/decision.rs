//! Decisions of the scaling law, and their reasons.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::limits::CountLimits;
use super::measures::Scaled;
use super::spec::Policy;

/// A change of the number of shards or instances.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The stage whose number changes.
    pub what: Scaled,
    /// The stage's name in logs.
    pub name: Arc<str>,
    /// The policy that decided.
    pub policy: Policy,
    /// The current number.
    pub from: usize,
    /// The desired number.
    pub to: usize,
    /// The reason.
    pub reason: ScalingReason,
    /// The limits that applied.
    pub limits: CountLimits,
    /// The consumer lag, in records.
    pub lag: u64,
    /// The age of the oldest record that waits, if known.
    pub age: Option<Duration>,
    /// Records read per second, if known.
    pub served: Option<f64>,
    /// The share of their time for which the units worked.
    pub busy: f64,
    /// Payload bytes in flight.
    pub bytes: u64,
}

/// The reason for a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScalingReason {
    /// The lag has reached the threshold of a level.
    Reached {
        /// The threshold, in records.
        lag: u64,
    },
    /// The lag has drained below a level.
    Drained {
        /// The highest lag, in records, that counts as drained.
        lag: u64,
    },
    /// The rates and the cost of a record require this number.
    Needed {
        /// Records that arrive, per second.
        arrival: f64,
        /// Records of the backlog to process in addition, per second.
        drain: f64,
        /// Seconds of work per record.
        cost: f64,
        /// The number of units that would work all the time.
        units: f64,
    },
    /// A manual override.
    Held,
    /// The current number is outside the limits.
    Limits,
}

impl fmt::Display for ScalingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached { lag } => write!(f, "the lag has reached {lag} records"),
            Self::Drained { lag } => write!(f, "the lag has drained to {lag} records or fewer"),
            Self::Needed { arrival, drain, cost, units } => {
                write!(f, "{arrival:.1} records/s arrive")?;
                if *drain > 0.0 {
                    write!(f, " and {drain:.1} records/s are to be drained")?;
                }
                write!(f, ", at {:.3} ms of work each: {units:.2} at work", cost * 1e3)
            }
            Self::Held => f.write_str("set by hand"),
            Self::Limits => f.write_str("the limits"),
        }
    }
}

/// One line for humans.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, from, to, policy, reason, limits, lag, .. } = self;
        write!(f, "{name}: {from} -> {to} ({}): {reason}; lag {lag} records", policy.as_str())?;
        if let Some(age) = self.age {
            write!(f, ", the oldest {:.1} s old", age.as_secs_f64())?;
        }
        if let Some(served) = self.served {
            write!(f, ", {served:.1} records/s taken in")?;
        }
        if self.bytes > 0 {
            write!(f, ", {:.1} MiB in flight", self.bytes as f64 / f64::from(1 << 20))?;
        }
        write!(f, ", {:.0} % busy, limits {} to {}", self.busy * 100.0, limits.min, limits.max)
    }
}
