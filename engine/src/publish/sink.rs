//! The destination of finished records. Connectors implement [`Sink`].

use std::sync::Arc;

use bytes::Bytes;

use crate::position::Commit;
use crate::sample::{Header, weight};
use crate::time::Timestamp;

/// A record to produce.
#[derive(Clone, Debug)]
pub struct OutRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition; chosen by the key if absent.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub payload: Bytes,
    /// The headers, in order.
    pub headers: Vec<Header>,
    /// The record's timestamp; the broker's own if absent.
    pub timestamp: Option<Timestamp>,
}

impl OutRecord {
    /// The approximate memory in bytes.
    pub fn weight(&self) -> usize {
        weight(self.key.as_ref(), &self.payload, &self.headers)
    }

    /// The size in bytes on the wire, in a batch of its own and not compressed (Kafka's record format v2).
    pub fn batch_size(&self) -> usize {
        const BATCH: usize = 61;
        let field = |bytes: Option<usize>| bytes.map_or(1, |bytes| varint(bytes) + bytes);
        let headers: usize = self
            .headers
            .iter()
            .map(|header| field(Some(header.name.len())) + field(header.value.as_ref().map(Bytes::len)))
            .sum();
        // Attributes, and the differences of timestamp and offset to the batch's own, which are none.
        let body = 3
            + field(self.key.as_ref().map(Bytes::len))
            + field(Some(self.payload.len()))
            + varint(self.headers.len())
            + headers;
        BATCH + varint(body) + body
    }
}

/// The size in bytes of a non-negative number in zigzag encoding, seven bits to a byte.
fn varint(number: usize) -> usize {
    let bits = usize::BITS + 1 - number.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

/// The delivery report of a record.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The number under which the record was sent.
    pub token: u64,
    /// The broker's acknowledgement, or the reason for a failure.
    pub outcome: Result<(), DeliveryError>,
}

/// Takes deliveries, one at a time. The thread of the sink's client calls it. So does the thread that sends a record which
/// cannot even be queued, and the thread that drops the sink. It must return at once.
pub type OnDelivery = Arc<dyn Fn(Delivery) + Send + Sync>;

/// The reason why a record was not delivered, after the client's own retries.
#[derive(Clone, Debug)]
pub struct DeliveryError {
    /// The message for humans.
    pub message: String,
    /// The kind of failure.
    pub refusal: Refusal,
}

/// The consequence of a failed delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A temporary failure: a retry may succeed.
    Passing,
    /// The broker has refused the record's batch, or one before it: a retry in order may succeed. A sink that keeps
    /// order accepts no records until [`Sink::resume`].
    Batch,
    /// The broker has refused the record itself, alone in its batch: a retry cannot succeed.
    Poison,
    /// The topic does not accept the record, as if it is too large. It was not sent.
    Unsent,
    /// The client has failed permanently and delivers no more records.
    Fatal,
}

/// The send queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the send queue is full")]
pub struct Full;

/// Produces records. Calls return at once.
pub trait Sink: Send {
    /// Hands over a record under a number of the caller's choice. Exactly one [`Delivery`] follows, through the
    /// callback given to the sink, on a thread of the sink.
    ///
    /// # Errors
    /// If the send queue is full: try again after the next delivery.
    fn send(&mut self, record: &OutRecord, token: u64) -> Result<(), Full>;

    /// Waits until all sent records have been acknowledged or have failed.
    ///
    /// # Errors
    /// The number of records still under way when the time is up.
    fn flush(&mut self, within: std::time::Duration) -> Result<(), usize>;

    /// Accepts records again after a delivery that failed with [`Refusal::Batch`]. By then the sink has reported on all
    /// records sent after the first refused one, so that the caller can send all of them again in order.
    fn resume(&mut self) {}
}

/// The end of the current transaction. The next one begins at once.
#[derive(Debug)]
pub enum Ending {
    /// No transaction has begun: begin the first. The client waits for unreachable brokers.
    None,
    /// Commit all records of the transaction, together with these offsets.
    Commit(Vec<Commit>),
    /// Abort the transaction.
    Abort,
}

/// The outcome of a transaction's end. After [`Self::Failed`] no other transaction begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The transaction ended as requested.
    AsAsked,
    /// The transaction was to be committed, but was aborted.
    Aborted(String),
    /// The client has failed permanently, or a later client has fenced it.
    Failed(String),
}

/// Puts the records of a [`Sink`] into transactions. The caller waits for all delivery reports before the call, and
/// sends nothing until its outcome is there.
pub trait Transactions: Send {
    /// Ends the current transaction and begins the next. Returns at once; exactly one outcome follows, on a thread of
    /// the client.
    fn end(&mut self, how: Ending, then: Box<dyn FnOnce(Ended) + Send>);
}

/// A sink for one of the delivery guarantees.
pub enum GuaranteedSink {
    /// The caller commits offsets once the records are acknowledged.
    AtLeastOnce(Box<dyn Sink>),
    /// The transactions commit records and offsets together.
    Transactional(Box<dyn Sink>, Box<dyn Transactions>),
}
