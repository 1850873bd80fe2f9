//! Records, and the samples that Lockstep makes of them.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::{Serialize, Serializer};

use crate::budget::Reservation;
use crate::media::Media;
use crate::position::{InputId, Position};
use crate::time::Timestamp;

/// The name of a stream, from the record's key: one camera, one call, one robot. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(Arc<str>);

impl StreamKey {
    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for StreamKey {
    fn from(key: &str) -> Self {
        Self(Arc::from(key))
    }
}

impl Borrow<str> for StreamKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for StreamKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A record's header. Kafka allows a name to occur more than once and a value to be absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name. The names that Lockstep writes are constants and need no allocation.
    pub name: Cow<'static, str>,
    /// Its value, if any.
    pub value: Option<Bytes>,
}

impl Header {
    /// A header with a value.
    pub fn new(name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) -> Self {
        Self { name: name.into(), value: Some(value.into()) }
    }

    /// True if it has that name, given in lower case. Clients write `content-type`, `Content-Type`, `contentType` and
    /// `content_type`: case, hyphens and underscores do not count.
    pub fn is(&self, name: &str) -> bool {
        fn plain(name: &str) -> impl Iterator<Item = u8> {
            name.bytes().filter(|byte| !matches!(byte, b'-' | b'_')).map(|byte| byte.to_ascii_lowercase())
        }
        // Most clients write the names exactly so: compare these without a loop.
        *self.name == *name || plain(&self.name).eq(plain(name))
    }
}

/// A record as Kafka delivered it, before ingest has parsed it.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its topic, partition and offset.
    pub position: Position,
    /// Its key, if it has one.
    pub key: Option<Bytes>,
    /// Its value; empty for a tombstone.
    pub payload: Bytes,
    /// Its headers in order.
    pub headers: Vec<Header>,
    /// Its own timestamp: of its creation or of its append, by the topic's setting.
    pub timestamp: Option<Timestamp>,
    /// The wall time at which the poll returned it, for comparison with event times.
    pub polled_at: Timestamp,
    /// The same moment by the runtime's clock.
    pub read_at: Timestamp,
}

impl Record {
    /// The value of the last header of that name, as Kafka's own clients read it; see [`Header::is`].
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|header| header.is(name)).and_then(|header| header.value.as_deref())
    }

    /// Its approximate memory, in bytes.
    pub fn weight(&self) -> usize {
        weight(self.key.as_ref(), &self.payload, &self.headers)
    }
}

/// The approximate memory of a record with these parts, in bytes.
pub(crate) fn weight(key: Option<&Bytes>, payload: &Bytes, headers: &[Header]) -> usize {
    let headers: usize =
        headers.iter().map(|h| h.name.len() + h.value.as_ref().map_or(0, Bytes::len) + 48).sum();
    payload.len() + key.map_or(0, Bytes::len) + headers + 200
}

/// A parsed record: its stream, its media type and its event time.
///
/// Shared as `Arc<Sample>`; its bytes count against the budget until the last holder drops it.
#[derive(Debug)]
pub struct Sample {
    /// The record as Kafka delivered it.
    pub record: Record,
    /// The stream.
    pub stream: StreamKey,
    /// The time of the event, or its beginning if it has a duration.
    pub event_time: Timestamp,
    /// Its duration; zero for a sample without length, such as a frame.
    pub duration: Duration,
    /// The media type of the payload.
    pub media: Media,
    /// Its bytes of the budget.
    pub reservation: Reservation,
    /// The meaning of another sample of its stream and input with the same event time.
    pub same_time: SameTime,
    /// The assignment of its partition under which it was read. A partition that is revoked and assigned again is
    /// read again; its records from the earlier assignment must not count twice.
    pub assignment: u32,
    /// The damage that was found when its payload was decoded.
    pub damage: Damage,
}

/// The flag of a damaged payload that was accepted because its input allows it. The decoder sets it; the result
/// reports it.
#[derive(Debug, Default)]
pub struct Damage(AtomicU8);

impl Damage {
    const FOUND: u8 = 1;
    const COUNTED: u8 = 2;

    /// Sets the flag.
    pub fn found(&self) {
        let _ = self.0.compare_exchange(0, Self::FOUND, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// True if damage was found.
    pub fn is_found(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// True once if damage was found, however often the payload is decoded: then the caller counts it.
    pub fn count_once(&self) -> bool {
        self.0.compare_exchange(Self::FOUND, Self::COUNTED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// The meaning of another sample of the same stream, input and event time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameTime {
    /// The same event once more: the source gives each event its own time.
    #[default]
    Duplicate,
    /// Another event: the clock of the event times is too coarse to distinguish them, but the records' offsets do.
    Distinct,
}

/// Distinguishes and orders samples of one stream, input and event time. It goes by offset, so that the order is the
/// same each time that the records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TieBreak {
    offset: i64,
    partition: i32,
}

impl TieBreak {
    /// No tie-break: the event time alone identifies the sample.
    pub const NONE: Self = Self { offset: -1, partition: -1 };

    /// The tie-break by the record's position.
    pub const fn by(position: Position) -> Self {
        Self { offset: position.offset.0, partition: position.partition.partition }
    }

    /// True if samples of one event time are distinguished.
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }

    /// The record of an input that it names, if it names one.
    pub fn record(self, input: InputId) -> Option<Position> {
        self.is_some().then(|| Position::new(input, self.partition, self.offset))
    }
}

impl Sample {
    /// The tie-break among samples of its stream, input and event time.
    pub fn tie_break(&self) -> TieBreak {
        match self.same_time {
            SameTime::Duplicate => TieBreak::NONE,
            SameTime::Distinct => TieBreak::by(self.position()),
        }
    }

    /// The position of its record.
    pub fn position(&self) -> Position {
        self.record.position
    }

    /// Its input.
    pub fn input(&self) -> InputId {
        self.record.position.input()
    }
}
