//! The header names of the wire contract. Records follow the CloudEvents Kafka protocol binding, version 1.0.2, in
//! binary mode. The plain names beside them serve producers that do not use CloudEvents. Names in input records are
//! compared by [`crate::sample::Header::is`].

/// The MIME type of the value.
pub const CONTENT_TYPE: &str = "content-type";
/// The same, as some producers write the CloudEvents attribute.
pub const CE_DATACONTENTTYPE: &str = "ce_datacontenttype";
/// Headers of HTTP, mail and older CloudEvents that declare another encoding of the value. Such a value is refused.
pub const CODINGS: [&str; 3] = ["content-encoding", "content-transfer-encoding", "ce_datacontentencoding"];
/// The event time in RFC 3339.
pub const CE_TIME: &str = "ce_time";
/// The event time in nanoseconds since the epoch, in decimal.
pub const EVENT_TIME_NS: &str = "event-time-ns";
/// The duration of a sample other than sound: nanoseconds, in decimal, at most [`MAX_DURATION`]. The duration of
/// sound is in its payload.
pub const DURATION_NS: &str = "duration-ns";
/// The W3C trace context, copied to the result.
pub const TRACEPARENT: &str = "traceparent";
/// The version of CloudEvents.
pub const CE_SPECVERSION: &str = "ce_specversion";
/// The identity of the event.
pub const CE_ID: &str = "ce_id";
/// The source of the event.
pub const CE_SOURCE: &str = "ce_source";
/// The type of the event.
pub const CE_TYPE: &str = "ce_type";
/// The subject of the event: the stream.
pub const CE_SUBJECT: &str = "ce_subject";

/// The reason of a dead letter: [`crate::fault::Reason::code`]; of a late record also [`EVICTED`] or [`SHED`].
pub const REASON: &str = "lockstep-reason";
/// The reason of an evicted sample.
pub const EVICTED: &str = "evicted";
/// The reason of a sample that was shed unread.
pub const SHED: &str = "shed";
/// The stage that dead-lettered it: [`crate::fault::StageKind::code`].
pub const STAGE: &str = "lockstep-stage";
/// The reason in words.
pub const MESSAGE: &str = "lockstep-message";
/// The number of attempts before it was dead-lettered, in decimal.
pub const ATTEMPTS: &str = "lockstep-attempts";
/// The size in bytes of the value that a dead letter goes without, in decimal.
pub const VALUE_LEFT_OUT: &str = "lockstep-value-left-out";
/// The size in bytes of the headers that a dead or late record goes without, in decimal.
pub const HEADERS_LEFT_OUT: &str = "lockstep-headers-left-out";
/// The number of times that a record has been replayed from the dead letters, in decimal. It stays on the record.
pub const REPLAYS: &str = "lockstep-replays";
/// The input topic of a dead or late record.
pub const SOURCE_TOPIC: &str = "lockstep-source-topic";
/// Its partition in the input topic.
pub const SOURCE_PARTITION: &str = "lockstep-source-partition";
/// Its offset in the input topic.
pub const SOURCE_OFFSET: &str = "lockstep-source-offset";
/// The timestamp of a dead or late record in the input topic, in milliseconds since the epoch. Its own timestamp is
/// the time of writing.
pub const SOURCE_TIMESTAMP: &str = "lockstep-source-timestamp-ms";
/// The lateness of a late sample, in nanoseconds.
pub const LATE_BY_NS: &str = "lockstep-late-by-ns";

/// The bound that evicted a sample: [`crate::align::Bound::as_str`].
pub const BOUND: &str = "lockstep-bound";
/// The rule that shed a sample: [`crate::ingest::shed::Shed::as_str`].
pub const RULE: &str = "lockstep-rule";
/// The age of a sample when it was shed, in nanoseconds.
pub const AGE_NS: &str = "lockstep-age-ns";

/// The longest duration that a header may give a sample. Alignment holds the sample, and all after it, for that time.
pub const MAX_DURATION: std::time::Duration = std::time::Duration::from_secs(3_600);

/// The longest stream key in bytes.
pub const MAX_KEY_BYTES: usize = 512;
