//! Short names for the times and places that the unit tests of many modules use.

use std::time::Duration;

use crate::position::{InputId, PartitionId};
use crate::time::Timestamp;

/// The moment so many milliseconds after the epoch.
pub(crate) const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// The moment so many seconds after the epoch.
pub(crate) const fn at_second(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

/// A span of so many milliseconds.
pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A partition of the first input's topic.
pub(crate) const fn partition(number: i32) -> PartitionId {
    PartitionId { input: InputId(0), partition: number }
}
