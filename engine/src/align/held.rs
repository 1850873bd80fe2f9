//! The interface of the items that the aligner holds.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::ingest::wire;
use crate::sample::{Record, Sample};

/// An item that the aligner holds. The aligner rarely calls these functions. It asks for the weight only where bytes are
/// bounded, and for repeats only where an input brings an event time twice. It asks for the fingerprint only where an item
/// may be used once. So the aligner stores none of the answers.
pub trait Held {
    /// The memory it takes, in bytes. Always the same.
    fn weight(&self) -> u64 {
        0
    }

    /// Returns true if it is the same record as another of its input and event time, delivered once more.
    fn repeats(&self, other: &Self) -> bool {
        let _ = other;
        false
    }

    /// A number that it shares with the items that it repeats, and with hardly any other. None if it repeats none.
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
    /// The bytes that count against the byte budget.
    fn weight(&self) -> u64 {
        self.reservation.bytes()
    }

    /// The rule of CloudEvents: two events with the same source and id are the same.
    fn repeats(&self, other: &Self) -> bool {
        identity(&self.record).is_some_and(|own| identity(&other.record) == Some(own))
    }

    fn fingerprint(&self) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        identity(&self.record)?.hash(&mut hasher);
        Some(hasher.finish())
    }
}

/// The id of a record and its source, as in CloudEvents. An empty id names no event.
fn identity(record: &Record) -> Option<(&[u8], Option<&[u8]>)> {
    let id = record.header(wire::CE_ID).filter(|id| !id.is_empty())?;
    Some((id, record.header(wire::CE_SOURCE)))
}
