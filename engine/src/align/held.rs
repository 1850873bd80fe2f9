//! What the aligner may ask of an item that it holds.

use std::sync::Arc;

use crate::ingest::wire;
use crate::sample::{Record, Sample};

/// What the aligner may ask of an item that it holds. It is asked rarely: of its weight only where bytes are bounded, and
/// whether it repeats another only where an input brings an event time twice. So neither is kept beside it.
pub trait Held {
    /// How much memory it takes, in bytes. Always the same.
    fn weight(&self) -> u64 {
        0
    }

    /// Whether it is the same record as another of its input and event time, delivered once more.
    fn repeats(&self, other: &Self) -> bool {
        let _ = other;
        false
    }
}

impl<T: Held + ?Sized> Held for Arc<T> {
    fn weight(&self) -> u64 {
        (**self).weight()
    }

    fn repeats(&self, other: &Self) -> bool {
        (**self).repeats(other)
    }
}

impl Held for Sample {
    /// What counts against the byte budget.
    fn weight(&self) -> u64 {
        self.reservation.bytes()
    }

    /// As CloudEvents says it: two events with the same source and id are the same.
    fn repeats(&self, other: &Self) -> bool {
        fn identity(record: &Record) -> Option<(&[u8], Option<&[u8]>)> {
            Some((record.header(wire::CE_ID)?, record.header(wire::CE_SOURCE)))
        }
        identity(&self.record).is_some_and(|own| identity(&other.record) == Some(own))
    }
}
