//! Faults of a record or of the work on it: values with a place and a remedy.

use std::fmt;

use serde::Serialize;

/// The stage that found a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// Reading the record's key, headers and size.
    Ingest,
    /// Joining samples by event time.
    Align,
    /// Decoding the payload and making tensors of it.
    Preprocess,
    /// Running a model.
    Infer,
    /// Producing to Kafka.
    Publish,
}

impl StageKind {
    /// The name in headers and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Align => "align",
            Self::Preprocess => "preprocess",
            Self::Infer => "infer",
            Self::Publish => "publish",
        }
    }
}

/// The reasons why a record cannot take part. Headers and metrics use this closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The record has no key, so no stream.
    MissingKey,
    /// The key is empty, too long or not UTF-8.
    InvalidKey,
    /// `content-type` cannot be parsed, or names a type that Lockstep does not know.
    UnknownContentType,
    /// The content type is known but is not what this input takes.
    ContentTypeMismatch,
    /// `ce_time` or `event-time-ns` cannot be parsed, and the record has no other event time.
    InvalidEventTime,
    /// `duration-ns` cannot be parsed, or is longer than an hour.
    InvalidDuration,
    /// The event time is absurdly far from now.
    EventTimeOutOfRange,
    /// The event time is far from those of the records before and after it.
    TimestampOutlier,
    /// The payload is larger than the input allows.
    Oversized,
    /// The payload is empty.
    EmptyPayload,
    /// The payload is not what its type says: truncated, garbled, or with a lying header.
    Undecodable,
    /// Decoding it would take more memory than allowed: a decompression bomb, or a very large payload.
    DecodedTooLarge,
    /// A required input was missing when the bundle closed.
    InputMissing,
    /// Each bundle of the record failed because of another sample.
    BundleFailed,
    /// The model returned an error.
    ModelFailed,
    /// The broker refuses the result because of its content: it is too large, or the topic refuses its timestamp.
    ResultRefused,
}

impl Reason {
    /// The name in headers and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingKey => "missing-key",
            Self::InvalidKey => "invalid-key",
            Self::UnknownContentType => "unknown-content-type",
            Self::ContentTypeMismatch => "content-type-mismatch",
            Self::InvalidEventTime => "invalid-event-time",
            Self::InvalidDuration => "invalid-duration",
            Self::EventTimeOutOfRange => "event-time-out-of-range",
            Self::TimestampOutlier => "timestamp-outlier",
            Self::Oversized => "oversized",
            Self::EmptyPayload => "empty-payload",
            Self::Undecodable => "undecodable",
            Self::DecodedTooLarge => "decoded-too-large",
            Self::InputMissing => "input-missing",
            Self::BundleFailed => "bundle-failed",
            Self::ModelFailed => "model-failed",
            Self::ResultRefused => "result-refused",
        }
    }
}

/// A payload that cannot be read as its content type says. Its record becomes a dead letter, with
/// [`Reason::Undecodable`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PayloadError(String);

impl From<String> for PayloadError {
    fn from(message: String) -> Self {
        Self(message)
    }
}

impl From<&str> for PayloadError {
    fn from(message: &str) -> Self {
        Self(message.to_owned())
    }
}

impl From<PayloadError> for String {
    fn from(PayloadError(message): PayloadError) -> Self {
        message
    }
}

/// A fault: its kind, the stage that found it, and a message with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The stage that found it.
    pub stage: StageKind,
    /// The kind of fault.
    pub reason: Reason,
    /// A sentence for people: the mistake and the remedy. It contains no payload and no secret.
    pub message: String,
    /// The number of attempts, including the last; at least 1.
    pub attempts: u32,
}

impl Fault {
    /// Creates a fault that a stage found at the first attempt.
    pub fn new(stage: StageKind, reason: Reason, message: impl Into<String>) -> Self {
        Self { stage, reason, message: message.into(), attempts: 1 }
    }

    /// The same fault after `attempts` attempts.
    pub fn after_attempts(self, attempts: u32) -> Self {
        Self { attempts: attempts.max(1), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} in {})", self.message, self.reason.code(), self.stage.code())
    }
}

impl std::error::Error for Fault {}
