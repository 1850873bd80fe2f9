//! What can be wrong with a record or with the work on it: a value with a place and a remedy.

use std::fmt;

use serde::Serialize;

/// The room that found it.
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
    /// As it stands in headers and metrics.
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

/// Why a record cannot take part: the closed list that headers and metrics use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The record has no key, so no stream.
    MissingKey,
    /// The key is empty, too long or not UTF-8.
    InvalidKey,
    /// `content-type` cannot be read, or names a type that Lockstep does not know.
    UnknownContentType,
    /// The content type is known but is not what this input takes.
    ContentTypeMismatch,
    /// `ce_time` or `event-time-ns` cannot be read, and nothing else tells the time.
    InvalidEventTime,
    /// `duration-ns` cannot be read, or is longer than an hour.
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
    /// Decoding it would take more memory than allowed: a decompression bomb, or an honest giant.
    DecodedTooLarge,
    /// A required input was missing when the bundle closed.
    InputMissing,
    /// Another sample of every bundle that it was in was at fault.
    BundleFailed,
    /// The model returned an error.
    ModelFailed,
    /// The broker refuses the result for what it is: too large, or with a timestamp that it does not take.
    ResultRefused,
}

impl Reason {
    /// As it stands in headers and metrics.
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

/// What is wrong, who found it, and in words what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The room that found it.
    pub stage: StageKind,
    /// The kind of fault.
    pub reason: Reason,
    /// A sentence for people: what was found and what would be right. No payload, no secret.
    pub message: String,
    /// How often it was tried, the last time included; at least 1.
    pub attempts: u32,
}

impl Fault {
    /// A fault found by a room at the first attempt.
    pub fn new(stage: StageKind, reason: Reason, message: impl Into<String>) -> Self {
        Self { stage, reason, message: message.into(), attempts: 1 }
    }

    /// The same after so many attempts.
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
