//! Turns librdkafka's messages into records, with one copy of each part that has to outlive the message.

use bytes::Bytes;
use lockstep_engine::ingest::wire;
use lockstep_engine::interner::Interner;
use lockstep_engine::position::{Offset, PartitionId, Position};
use lockstep_engine::sample::Record;
use lockstep_engine::time::Timestamp;
use rdkafka::message::{BorrowedMessage, Message};

use crate::headers::headers;

/// The bytes of recent keys, so that the key of a stream is allocated once and not for each record.
pub(super) struct Keys(Interner<Bytes>);

impl Keys {
    /// The binary logarithm of the number of places.
    const BITS: u32 = 6;
    /// The longest key that is kept.
    const LONGEST: usize = 128;

    pub(super) fn new() -> Self {
        Self(Interner::new(Self::BITS))
    }

    fn shared(&mut self, key: &[u8]) -> Bytes {
        if key.is_empty() || key.len() > Self::LONGEST {
            return Bytes::copy_from_slice(key);
        }
        self.0.get(key, Bytes::copy_from_slice)
    }
}

/// Copies a message. `polled_at` is the wall time of the poll, `read_at` the runtime's clock.
pub(super) fn record(
    message: &BorrowedMessage<'_>,
    partition: PartitionId,
    keys: &mut Keys,
    polled_at: Timestamp,
    read_at: Timestamp,
) -> Record {
    Record {
        position: Position { partition, offset: Offset(message.offset()) },
        key: message.key().map(|key| keys.shared(key)),
        payload: message.payload().map(Bytes::copy_from_slice).unwrap_or_default(),
        headers: headers(message),
        timestamp: message.timestamp().to_millis().map(Timestamp::from_millis),
        polled_at,
        read_at,
    }
}

/// Returns true if the only event time of a record is the time at which the broker appended it.
pub(super) fn is_stamped_by_broker(message: &BorrowedMessage<'_>, record: &Record) -> bool {
    matches!(message.timestamp(), rdkafka::Timestamp::LogAppendTime(_))
        && record.header(wire::CE_TIME).is_none()
        && record.header(wire::EVENT_TIME_NS).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shared_and_never_mistaken() {
        let mut keys = Keys::new();
        let first = keys.shared(b"cam-1");
        assert_eq!(first.as_ptr(), keys.shared(b"cam-1").as_ptr());
        for n in 0..1000 {
            let name = format!("cam-{n}");
            assert_eq!(keys.shared(name.as_bytes()), name.as_bytes());
        }
        assert_eq!(keys.shared(b""), b"".as_slice());
    }
}
