//! The operations on topics that the brokers allow a user. librdkafka asks for them; rdkafka has no binding for that.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

/// The answer of a broker about a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operations {
    /// The allowed operations.
    Known {
        /// READ.
        reads: bool,
        /// WRITE.
        writes: bool,
    },
    /// The broker does not report them.
    Unknown,
}

/// A topic with its allowed operations, or the reason why they are not known.
pub(super) type TopicOperations = (String, Result<Operations, RDKafkaErrorCode>);

/// An object of librdkafka that is destroyed at the end, unless it is null.
struct Owned<T> {
    it: *mut T,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.it.is_null() {
            // SAFETY: `it` came from the function that goes with `destroy`, no other code destroys it, and only this module
            // uses it, through this owner.
            unsafe { (self.destroy)(self.it) };
        }
    }
}

/// Asks for the operations that are allowed on topics. The question creates no topic.
///
/// # Errors
/// If no answer comes within the time, or the brokers refuse.
pub(super) fn of_topics<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    within: Duration,
) -> Result<Vec<TopicOperations>, RDKafkaErrorCode> {
    let names: Vec<CString> = topics
        .iter()
        .map(|topic| CString::new(*topic))
        .collect::<Result<_, _>>()
        .map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let mut names_of: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let millis = c_int::try_from(within.as_millis()).unwrap_or(c_int::MAX / 2);
    let handle = client.native_ptr();
    // SAFETY: `handle` belongs to a borrowed client, so it lives until this function ends. All objects made with it are destroyed
    // before that. `names_of` holds as many pointers to C strings as its length says. `names` owns the strings; librdkafka copies
    // them. librdkafka does not write to an error buffer of size 0.
    let (collection, options, queue) = unsafe {
        let collection = Owned {
            it: rd::rd_kafka_TopicCollection_of_topic_names(names_of.as_mut_ptr(), names_of.len()),
            destroy: rd::rd_kafka_TopicCollection_destroy,
        };
        let describe = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = Owned {
            it: rd::rd_kafka_AdminOptions_new(handle, describe),
            destroy: rd::rd_kafka_AdminOptions_destroy,
        };
        let queue = Owned { it: rd::rd_kafka_queue_new(handle), destroy: rd::rd_kafka_queue_destroy };
        if collection.it.is_null() || options.it.is_null() || queue.it.is_null() {
            return Err(RDKafkaErrorCode::InvalidArgument);
        }
        // librdkafka refuses a time out of range, and then uses its default.
        let _refused = rd::rd_kafka_AdminOptions_set_request_timeout(options.it, millis, ptr::null_mut(), 0);
        let _refused = Owned {
            it: rd::rd_kafka_AdminOptions_set_include_authorized_operations(options.it, 1),
            destroy: rd::rd_kafka_error_destroy,
        };
        (collection, options, queue)
    };
    // SAFETY: none of the four is null, as checked above. The call copies the topics and the options. The caller of the poll owns the
    // event.
    let event = unsafe {
        rd::rd_kafka_DescribeTopics(handle, collection.it, options.it, queue.it);
        Owned {
            it: rd::rd_kafka_queue_poll(queue.it, millis.saturating_add(1000)),
            destroy: rd::rd_kafka_event_destroy,
        }
    };
    if event.it.is_null() {
        return Err(RDKafkaErrorCode::OperationTimedOut);
    }
    // SAFETY: the event is not null. It lives until this function ends, and so do its parts, which are copied. A result is null if
    // the event is of another kind. An array has as many entries as its function says, and none of them is null.
    unsafe {
        let error = rd::rd_kafka_event_error(event.it);
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(error.into());
        }
        let result = rd::rd_kafka_event_DescribeTopics_result(event.it);
        if result.is_null() {
            return Err(RDKafkaErrorCode::BadMessage);
        }
        let mut count = 0;
        let list = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        Ok(entries(list.cast_const(), count).iter().map(|topic| answer(*topic)).collect())
    }
}

/// # Safety
/// `topic` points to a live description of a topic.
unsafe fn answer(topic: *const rd::rd_kafka_TopicDescription_t) -> TopicOperations {
    // SAFETY: as the function requires. A name is a C string. The description owns the error. Operations are integers of a C `enum`,
    // and are read as integers: an unknown one must not become a value of a Rust `enum`.
    unsafe {
        let name = CStr::from_ptr(rd::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
        let error = rd::rd_kafka_TopicDescription_error(topic);
        let code = match error.is_null() {
            true => RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
            false => rd::rd_kafka_error_code(error),
        };
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return (name, Err(code.into()));
        }
        let mut count = 0;
        let list = rd::rd_kafka_TopicDescription_authorized_operations(topic, &mut count);
        let allowed = entries(list.cast::<c_uint>(), count);
        let has = |operation: rd::rd_kafka_AclOperation_t| allowed.contains(&(operation as c_uint));
        let operations = match list.is_null() {
            true => Operations::Unknown,
            false => Operations::Known {
                reads: has(rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ),
                writes: has(rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE),
            },
        };
        (name, Ok(operations))
    }
}

/// # Safety
/// `list` is null, or points to `count` entries that live as long as `'a`.
unsafe fn entries<'a, T>(list: *const T, count: usize) -> &'a [T] {
    if list.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: as the function requires.
    unsafe { std::slice::from_raw_parts(list, count) }
}
