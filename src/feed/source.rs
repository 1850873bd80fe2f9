//! A source of records to publish, and the times and lengths of sound in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lockstep_engine::time::nanos;

use crate::commands::Failure;

/// One record to be.
pub(crate) struct FeedRecord {
    /// Nanoseconds since the source's beginning, or since the epoch if the source is absolute.
    pub(super) at: i64,
    pub(super) kind: &'static str,
    pub(super) content_type: Arc<str>,
    pub(super) payload: Bytes,
}

/// Items in the order of their times.
pub(crate) struct FeedSource {
    /// The file or directory that it is of.
    pub(super) file: PathBuf,
    /// True if the times are since the epoch.
    pub(super) absolute: bool,
    pub(super) items: Box<dyn Iterator<Item = Result<FeedRecord, Failure>>>,
}

/// A length of sound in bytes: whole frames, at least one.
pub(super) fn chunk_bytes(chunk: Duration, rate: u32, frame: usize) -> usize {
    let frames = nanos(chunk).saturating_mul(i64::from(rate)) / 1_000_000_000;
    usize::try_from(frames).unwrap_or(1).max(1).saturating_mul(frame)
}

/// The time of a frame of sound, from the beginning.
pub(super) fn frame_time(frame: u64, rate: u32) -> i64 {
    i64::try_from(u128::from(frame) * 1_000_000_000 / u128::from(rate.max(1))).unwrap_or(i64::MAX)
}
