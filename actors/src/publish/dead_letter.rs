//! A record on its way to the dead-letter topic.

use std::sync::Arc;

use lockstep_engine::budget::Reservation;
use lockstep_engine::sample::{Record, Sample};

/// A record to dead-letter.
pub(super) enum DeadLetter {
    /// A record that never became a sample, with its assignment and its reserved memory.
    Record(Record, u32, #[allow(dead_code, reason = "held for what its drop does")] Reservation),
    /// A sample.
    Sample(Arc<Sample>),
}

impl DeadLetter {
    pub(super) fn record(&self) -> &Record {
        match self {
            Self::Record(record, ..) => record,
            Self::Sample(sample) => &sample.record,
        }
    }

    pub(super) fn assignment(&self) -> u32 {
        match self {
            Self::Record(_, assignment, _) => *assignment,
            Self::Sample(sample) => sample.assignment,
        }
    }
}
