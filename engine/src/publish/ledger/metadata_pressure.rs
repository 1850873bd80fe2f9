//! Offset-metadata pressure: slows or pauses intake before a partition's map could become longer than the broker
//! accepts.

use super::partition_tracker::Worst;

/// The number of records of a partition that may still be consumed after its intake was paused. They are chunks of 256
/// records: 32 chunks in the mailbox of publish, 4 in that of ingest, 2 each held by ingest and the source.
pub const RECORDS_UNDER_WAY: usize = 40 * 256;

/// Pressure of a partition's map on the broker's limit.
///
/// Pressure follows not the map's current length but the largest one possible, in whatever order the records in flight
/// and those under way are published and end. That is a byte for every five offsets from the first to the last record
/// that has not ended. Long stretches in which all records have ended cost a few bytes each. A partition with nothing
/// in flight has no pressure, so that there is always one to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetadataPressure {
    /// The map may take more than half of the limit: read the partition more slowly, as by pausing it every other time.
    /// The state ends at three eighths.
    Slow,
    /// The map may take all of the limit: stop reading the partition. The state ends at three quarters.
    Full,
}

/// The pressure of a partition whose pressure was `before`, if a map may have `capacity` bytes.
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
