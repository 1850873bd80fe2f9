//! What the aligner may ask of an item that it holds.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::ingest::wire;
use crate::sample::{Record, Sample};

/// What the aligner may ask of an item that it holds. It is asked rarely: of its weight only where bytes are bounded,
/// whether it repeats another only where an input brings an event time twice, and of its fingerprint only where it may be
/// used once. So none is kept beside it.
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

    /// A number that it shares with those that it repeats, and with hardly any other; none where it repeats none.
    fn fingerprint(&self) -> Option<u64> {
        None
    }
}

impl<T: Held + ?Sized> Held for Arc<T> {
    fn weight(&self) -> u64 {
        (**self).weight()
    }

    fn repeats(&self, other: &Self) -> bool {
        (**self).repeats(other)
    }

    fn fingerprint(&self) -> Option<u64> {
        (**self).fingerprint()
    }
}

impl Held for Sample {
    /// What counts against the byte budget.
    fn weight(&self) -> u64 {
        self.reservation.bytes()
    }

    /// As CloudEvents says it: two events with the same source and id are the same.
    fn repeats(&self, other: &Self) -> bool {
        identity(&self.record).is_some_and(|own| identity(&other.record) == Some(own))
    }

    fn fingerprint(&self) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        identity(&self.record)?.hash(&mut hasher);
        Some(hasher.finish())
    }
}

/// The id of a record and its source, as CloudEvents has them. An empty id names no event.
fn identity(record: &Record) -> Option<(&[u8], Option<&[u8]>)> {
    let id = record.header(wire::CE_ID).filter(|id| !id.is_empty())?;
    Some((id, record.header(wire::CE_SOURCE)))
}
