//! Reads the headers of a message.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr;

use bytes::Bytes;
use lockstep_engine::sample::Header;
use rdkafka::bindings;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;

/// The headers of a message. rdkafka's own reader panics at a name that is not UTF-8. This one keeps such a name, with its bad
/// bytes replaced.
pub(super) fn headers(message: &BorrowedMessage<'_>) -> Vec<Header> {
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
