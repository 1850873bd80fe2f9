//! What the law has decided, and why.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::limits::Limits;
use super::measures::Scaled;
use super::spec::Policy;

/// There are to be more of something, or fewer.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Of what.
    pub what: Scaled,
    /// What it is called.
    pub name: Arc<str>,
    /// By which policy.
    pub policy: Policy,
    /// How many there are.
    pub from: usize,
    /// How many there are to be.
    pub to: usize,
    /// What led to it.
    pub reason: Reason,
    /// The least and the most that there may be.
    pub limits: Limits,
    /// Records that wait in Kafka.
    pub lag: u64,
    /// The age of the oldest of them, if known.
    pub age: Option<Duration>,
    /// Records taken in per second, if known.
    pub served: Option<f64>,
    /// The share of their time that they worked.
    pub busy: f64,
    /// The bytes of payloads in flight.
    pub bytes: u64,
}

/// What led to a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// The lag has reached what a level begins at.
    Reached {
        /// In records.
        lag: u64,
    },
    /// The lag has drained.
    Drained {
        /// To at most so many records.
        lag: u64,
    },
    /// The rates and the cost of a record ask for so many.
    Needed {
        /// Records that arrive, per second.
        arrival: f64,
        /// Records to process beside them, per second.
        drain: f64,
        /// Seconds of work for a record.
        cost: f64,
        /// So many of them that work all the time.
        units: f64,
    },
    /// Asked for by hand.
    Held,
    /// There are more, or fewer, than there may be.
    Limits,
}

impl fmt::Display for Reason {
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
            Self::Held => f.write_str("asked for by hand"),
            Self::Limits => f.write_str("the limits"),
        }
    }
}

/// One line for a log.
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
