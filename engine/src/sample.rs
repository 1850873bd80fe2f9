//! Records and the samples that they become.

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
    /// Its name. Those that Lockstep writes are known when it is compiled and cost nothing.
    pub name: Cow<'static, str>,
    /// Its value, if any.
    pub value: Option<Bytes>,
}

impl Header {
    /// A header with a value.
    pub fn new(name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) -> Self {
        Self { name: name.into(), value: Some(value.into()) }
    }

    /// Whether it has that name, given in lower case. Clients write `content-type`, `Content-Type`, `contentType` and
    /// `content_type`: case, hyphens and underscores do not count.
    pub fn is(&self, name: &str) -> bool {
        fn plain(name: &str) -> impl Iterator<Item = u8> {
            name.bytes().filter(|byte| !matches!(byte, b'-' | b'_')).map(|byte| byte.to_ascii_lowercase())
        }
        // Most names are written as they are expected.
        *self.name == *name || plain(&self.name).eq(plain(name))
    }
}

/// What Kafka delivered, before anybody has tried to understand it.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// Its key, if it has one.
    pub key: Option<Bytes>,
    /// Its value; empty for a tombstone.
    pub payload: Bytes,
    /// Its headers in order.
    pub headers: Vec<Header>,
    /// Its own timestamp: when it was made, or appended, as the topic is set up.
    pub timestamp: Option<Timestamp>,
    /// When the poll returned it, in wall time: for what is compared with event times.
    pub polled_at: Timestamp,
    /// The same by the runtime's clock.
    pub read_at: Timestamp,
}

impl Record {
    /// The value of the last header of that name, as Kafka's own clients read it; see [`Header::is`].
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|header| header.is(name)).and_then(|header| header.value.as_deref())
    }

    /// About how much memory it takes, in bytes.
    pub fn weight(&self) -> usize {
        weight(self.key.as_ref(), &self.payload, &self.headers)
    }
}

/// About how much memory a record of these takes, in bytes.
pub(crate) fn weight(key: Option<&Bytes>, payload: &Bytes, headers: &[Header]) -> usize {
    let headers: usize =
        headers.iter().map(|h| h.name.len() + h.value.as_ref().map_or(0, Bytes::len) + 48).sum();
    payload.len() + key.map_or(0, Bytes::len) + headers + 200
}

/// A record understood: whose it is, of what kind, and when it happened.
///
/// Shared as `Arc<Sample>`; its bytes count against the budget until the last holder drops it.
#[derive(Debug)]
pub struct Sample {
    /// What Kafka delivered.
    pub record: Record,
    /// The stream.
    pub stream: StreamKey,
    /// When it happened, or when it began if it lasts.
    pub event_time: Timestamp,
    /// How long it lasts; zero for what has no length, as a frame.
    pub duration: Duration,
    /// What the payload is.
    pub media: Media,
    /// The memory set aside for it.
    pub reservation: Reservation,
    /// What another sample of its stream and input with the same event time is.
    pub same_time: SameTime,
    /// Which assignment of its partition it was read under: a partition that is taken away and comes
    /// back is read again, and what is still under way from before must not count twice.
    pub assignment: u32,
    /// What was seen when its payload was decoded.
    pub damage: Damage,
}

/// Whether a payload turned out to be damaged and was taken all the same, since its input says so. Whoever decodes the
/// payload notes it; the result tells it.
#[derive(Debug, Default)]
pub struct Damage(AtomicU8);

impl Damage {
    const FOUND: u8 = 1;
    const COUNTED: u8 = 2;

    /// Notes it.
    pub fn found(&self) {
        let _ = self.0.compare_exchange(0, Self::FOUND, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether it was found.
    pub fn is_found(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Whether it was found and is to be counted, which is so once however often the payload is decoded.
    pub fn count_once(&self) -> bool {
        self.0.compare_exchange(Self::FOUND, Self::COUNTED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// What another sample of the same stream, input and event time is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameTime {
    /// The same thing once more: a source says when things happened, and says it of each once.
    #[default]
    Duplicate,
    /// Another thing: the clock of the event times is too coarse to tell them apart, and the records' offsets do.
    Distinct,
}

/// Tells samples of one stream, input and event time apart, and puts them in order: by offset, so that the order is the same
/// each time that the records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TieBreak {
    offset: i64,
    partition: i32,
}

impl TieBreak {
    /// The event time alone says which sample it is.
    pub const NONE: Self = Self { offset: -1, partition: -1 };

    /// The record's place says which sample it is.
    pub const fn by(position: Position) -> Self {
        Self { offset: position.offset.0, partition: position.partition.partition }
    }

    /// Whether samples of one event time are told apart.
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }

    /// The record of an input that it names, if it does.
    pub fn record(self, input: InputId) -> Option<Position> {
        self.is_some().then(|| Position::new(input, self.partition, self.offset))
    }
}

impl Sample {
    /// What tells it from others of its stream, input and event time.
    pub fn tie_break(&self) -> TieBreak {
        match self.same_time {
            SameTime::Duplicate => TieBreak::NONE,
            SameTime::Distinct => TieBreak::by(self.position()),
        }
    }

    /// Where the record stands.
    pub fn position(&self) -> Position {
        self.record.position
    }

    /// The input that it came through.
    pub fn input(&self) -> InputId {
        self.record.position.input()
    }
}
