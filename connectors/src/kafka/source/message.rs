//! From librdkafka's messages to records: one copy of what has to outlive the message.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr;

use bytes::Bytes;
use lockstep_engine::ingest::wire;
use lockstep_engine::position::{Offset, PartitionId, Position};
use lockstep_engine::sample::{Header, Record};
use lockstep_engine::time::Timestamp;
use rdkafka::bindings;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::types::RDKafkaRespErr;

/// The keys seen last, so that a stream's key is allocated once and not once a record.
pub(super) struct Keys([Option<Bytes>; Keys::SLOTS]);

impl Keys {
    const SLOTS: usize = 64;

    pub(super) fn new() -> Self {
        Self([const { None }; Self::SLOTS])
    }

    fn shared(&mut self, key: &[u8]) -> Bytes {
        if key.is_empty() || key.len() > 128 {
            return Bytes::copy_from_slice(key);
        }
        // FNV-1a: enough to spread a few names over a few slots.
        let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        let slot = usize::try_from(hash >> 32).unwrap_or(0) % Self::SLOTS;
        let Some(slot) = self.0.get_mut(slot) else { return Bytes::copy_from_slice(key) };
        match slot {
            Some(known) if known == key => known.clone(),
            _ => slot.insert(Bytes::copy_from_slice(key)).clone(),
        }
    }
}

/// Copies a message that was polled then, in wall time and by the runtime's clock.
pub(super) fn record(
    message: &BorrowedMessage<'_>,
    partition: PartitionId,
    keys: &mut Keys,
    (polled_at, read_at): (Timestamp, Timestamp),
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

/// Whether the only event time of a record is when the broker appended it.
pub(super) fn is_stamped_by_broker(message: &BorrowedMessage<'_>, record: &Record) -> bool {
    matches!(message.timestamp(), rdkafka::Timestamp::LogAppendTime(_))
        && record.header(wire::CE_TIME).is_none()
        && record.header(wire::EVENT_TIME_NS).is_none()
}

/// The message's headers. Not through rdkafka's own reader, which panics at a name that is not UTF-8;
/// such a name is kept with its bad bytes replaced.
pub(in crate::kafka) fn headers(message: &BorrowedMessage<'_>) -> Vec<Header> {
    let mut list = ptr::null_mut();
    // SAFETY: `ptr()` is the live message that `message` borrows; on success librdkafka stores a pointer
    // to headers that the message owns, so they live as long as `message`.
    let found = unsafe { bindings::rd_kafka_message_headers(message.ptr(), &mut list) };
    if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || list.is_null() {
        return Vec::new();
    }
    // SAFETY: `list` was just given by librdkafka for a message that is still borrowed.
    let count = unsafe { bindings::rd_kafka_header_cnt(list) };
    let mut headers = Vec::with_capacity(count);
    for index in 0..count {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: as above; the three places are valid for writes.
        let found =
            unsafe { bindings::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut size) };
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            break;
        }
        // SAFETY: on success `name` is a NUL-terminated string owned by the headers.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let value = (!value.is_null()).then(|| {
            // SAFETY: on success a value that is not null has `size` bytes, owned by the headers.
            Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(value.cast::<u8>(), size) })
        });
        headers.push(Header { name: name.into_owned().into(), value });
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_returns_is_shared_and_never_mistaken() {
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
