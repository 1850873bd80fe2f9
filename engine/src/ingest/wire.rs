//! The names of the wire contract. Records follow the CloudEvents Kafka protocol binding, version
//! 1.0.2, in binary mode; the plain names beside them serve producers that know nothing of it. Of input records names
//! are compared by [`crate::sample::Header::is`].

/// The MIME type of the value.
pub const CONTENT_TYPE: &str = "content-type";
/// The same, as some producers carry CloudEvents' attribute over.
pub const CE_DATACONTENTTYPE: &str = "ce_datacontenttype";
/// Headers by which HTTP, mail and older CloudEvents say that bytes were coded once more. Such a value is refused.
pub const CODINGS: [&str; 3] = ["content-encoding", "content-transfer-encoding", "ce_datacontentencoding"];
/// When it happened: RFC 3339.
pub const CE_TIME: &str = "ce_time";
/// When it happened: nanoseconds since the epoch, in decimal.
pub const EVENT_TIME_NS: &str = "event-time-ns";
/// How long it lasts, of what is no sound: nanoseconds, in decimal, at most [`MAX_DURATION`]. How long sound lasts is in
/// its payload.
pub const DURATION_NS: &str = "duration-ns";
/// W3C trace context, handed on to the result.
pub const TRACEPARENT: &str = "traceparent";
/// The version of CloudEvents.
pub const CE_SPECVERSION: &str = "ce_specversion";
/// The identity of the event.
pub const CE_ID: &str = "ce_id";
/// Where it comes from.
pub const CE_SOURCE: &str = "ce_source";
/// What kind of event it is.
pub const CE_TYPE: &str = "ce_type";
/// What the event is about: the stream.
pub const CE_SUBJECT: &str = "ce_subject";

/// Why a record was dead-lettered: [`crate::fault::Reason::code`]; or [`EVICTED`] or [`SHED`].
pub const REASON: &str = "lockstep-reason";
/// The reason of a sample that had to make room.
pub const EVICTED: &str = "evicted";
/// The reason of a sample that was put aside unread.
pub const SHED: &str = "shed";
/// Which room dead-lettered it: [`crate::fault::StageKind::code`].
pub const STAGE: &str = "lockstep-stage";
/// The same in words.
pub const MESSAGE: &str = "lockstep-message";
/// How often it was tried before it was dead-lettered, in decimal.
pub const ATTEMPTS: &str = "lockstep-attempts";
/// How many bytes the value of a dead letter had that goes without it, in decimal.
pub const VALUE_LEFT_OUT: &str = "lockstep-value-left-out";
/// How many bytes the headers had of a dead or late record that goes without them, in decimal.
pub const HEADERS_LEFT_OUT: &str = "lockstep-headers-left-out";
/// How often a record has been put back from the dead letters, in decimal. It stays on the record.
pub const REPLAYS: &str = "lockstep-replays";
/// The topic that a dead or late record came from.
pub const SOURCE_TOPIC: &str = "lockstep-source-topic";
/// Its partition there.
pub const SOURCE_PARTITION: &str = "lockstep-source-partition";
/// Its offset there.
pub const SOURCE_OFFSET: &str = "lockstep-source-offset";
/// The timestamp that a dead or late record had there, in milliseconds since the epoch. Its own is when it was written.
pub const SOURCE_TIMESTAMP: &str = "lockstep-source-timestamp-ms";
/// How late a late sample was, in nanoseconds.
pub const LATE_BY_NS: &str = "lockstep-late-by-ns";

/// Which bound a sample fell to that had to make room: [`crate::align::Bound::as_str`].
pub const BOUND: &str = "lockstep-bound";
/// Which rule shed a sample: [`crate::ingest::shed::Shed::as_str`].
pub const RULE: &str = "lockstep-rule";
/// How old a sample was when it was shed, in nanoseconds.
pub const AGE_NS: &str = "lockstep-age-ns";

/// The longest that one sample lasts which says so in a header: alignment holds it, and what comes after it, for as long.
pub const MAX_DURATION: std::time::Duration = std::time::Duration::from_secs(3_600);

/// The longest stream key in bytes.
pub const MAX_KEY_BYTES: usize = 512;
