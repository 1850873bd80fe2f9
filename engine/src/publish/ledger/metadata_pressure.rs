//! When a partition's map could become longer than the broker takes, and intake of it has to slow or pause.

use super::partition_tracker::Worst;

/// How many records of a partition may still be consumed after its intake was told to pause: chunks of 256 that
/// wait in the link to publish (32), in the link to ingest (4), in ingest's and in the source's hand (2 each).
pub const RECORDS_UNDER_WAY: usize = 40 * 256;

/// How close the map of a partition is to the broker's limit.
///
/// What counts is not how long the map is but how long it can become, in whatever order the records in flight and
/// those under way are published and end: a byte for every five offsets from the first to the last that has not ended,
/// but for long stretches where all have, which cost a few bytes each. A partition with nothing in flight is never crowded, so that
/// there is always one to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetadataPressure {
    /// It takes more than half of the room: read the partition more slowly, as by pausing it every other time. It ends
    /// at three eighths.
    Slow,
    /// It may take all of it: read none of the partition. It ends at three quarters.
    Full,
}

/// How crowded a partition is that was `before`, if a map may have `capacity` bytes.
pub(super) fn metadata_pressure(
    worst: Worst,
    capacity: usize,
    before: Option<MetadataPressure>,
) -> Option<MetadataPressure> {
    if worst.known == 0 || worst.is_replay {
        return None;
    }
    let room = capacity.saturating_sub(worst.coming);
    let (full, slow) = match before {
        None => (room, room / 2),
        Some(MetadataPressure::Slow) => (room, room * 3 / 8),
        Some(MetadataPressure::Full) => (room * 3 / 4, room * 3 / 8),
    };
    if worst.known > full {
        Some(MetadataPressure::Full)
    } else if worst.known > slow {
        Some(MetadataPressure::Slow)
    } else {
        None
    }
}
