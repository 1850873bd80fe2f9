//! Where finished records go. Connectors implement [`Sink`].

use bytes::Bytes;

use crate::position::Commit;
use crate::sample::{Header, weight};
use crate::time::Timestamp;

/// A record to be produced.
#[derive(Clone, Debug)]
pub struct OutRecord {
    /// The topic.
    pub topic: std::sync::Arc<str>,
    /// The partition; that of the key when absent.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub payload: Bytes,
    /// The headers in order.
    pub headers: Vec<Header>,
    /// The record's timestamp; the broker's own when absent.
    pub timestamp: Option<Timestamp>,
}

impl OutRecord {
    /// About how much memory it takes, in bytes.
    pub fn weight(&self) -> usize {
        weight(self.key.as_ref(), &self.payload, &self.headers)
    }

    /// How many bytes it takes on the wire, in a batch of its own and not compressed (Kafka's record format v2).
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

/// How many bytes a number takes that is not negative, in zigzag and seven bits a byte.
fn varint(number: usize) -> usize {
    let bits = usize::BITS + 1 - number.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

/// What became of a record that was sent.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The number that it was sent with.
    pub token: u64,
    /// Whether the broker has acknowledged it; else why not.
    pub outcome: Result<(), DeliveryError>,
}

/// Why a record was not delivered, after the client's own retries.
#[derive(Clone, Debug)]
pub struct DeliveryError {
    /// In words.
    pub message: String,
    /// What is to be thought of it.
    pub refusal: Refusal,
}

/// What a delivery that failed means for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Sent again, the record may well be taken.
    Passing,
    /// The broker has refused the batch that it was in, or what was before it: sent again in its turn, it may be taken. A sink
    /// that keeps order takes nothing until [`Sink::resume`].
    Batch,
    /// The record itself is at fault, alone in its batch: sending it again is of no use.
    Poison,
    /// Its topic does not take the record, being too large, say, and it was not sent.
    Unsent,
    /// The client has failed for good, and delivers nothing any more.
    Fatal,
}

/// A queue has no room for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue of records to be sent is full")]
pub struct Full;

/// Produces records. Calls return at once.
pub trait Sink: Send {
    /// Hands over a record under a number of the caller's choice. Its [`Delivery`] follows, exactly once,
    /// through the callback that the sink was made with, on a thread of the sink's.
    ///
    /// # Errors
    /// When the queue is full: try again after the next delivery.
    fn send(&mut self, record: &OutRecord, token: u64) -> Result<(), Full>;

    /// Waits until everything sent has been acknowledged or has failed.
    ///
    /// # Errors
    /// How many records are still under way when the time is up.
    fn flush(&mut self, within: std::time::Duration) -> Result<(), usize>;

    /// Takes records again after a delivery that failed with [`Refusal::Batch`]. What was sent after the first such record
    /// has been told of by then, so that all of it can be sent again in its order.
    fn resume(&mut self) {}
}

/// What is to be done with the transaction under way. The next one begins at once.
#[derive(Debug)]
pub enum Ending {
    /// There is none yet: begin the first. Brokers that are away are waited for.
    None,
    /// Everything sent since it began counts, together with these positions.
    Commit(Vec<Commit>),
    /// Nothing of it counts.
    Abort,
}

/// How a transaction ended. After [`Self::Failed`] there is no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As asked.
    AsAsked,
    /// It was to be committed, and was aborted: nothing of it counts.
    Aborted(String),
    /// The client has failed for good, or a later one has taken its place.
    Failed(String),
}

/// Puts what a [`Sink`] is sent into transactions. Nothing is to be sent from the call until its outcome is
/// there, and everything sent must have been told of before the call.
pub trait Transactions: Send {
    /// Ends the transaction under way and begins the next. Returns at once; the outcome follows, exactly
    /// once, on a thread of the client's.
    fn end(&mut self, how: Ending, then: Box<dyn FnOnce(Ended) + Send>);
}
