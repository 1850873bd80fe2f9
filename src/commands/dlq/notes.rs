//! The notes of replayed dead letters, read from the brokers.

use std::collections::BTreeMap;

use lockstep_engine::pipeline::KafkaSpec;
use lockstep_engine::publish::side_output::note::{self, ReplayNote};
use lockstep_kafka::replay_offsets::ReplayOffsets;
use lockstep_kafka::topic_snapshot::Range;

use super::filter::Place;
use crate::commands::Failure;

/// Opens the consumer group that keeps the notes of a topic.
pub(super) fn open(topic: &str, kafka: &KafkaSpec) -> Result<ReplayOffsets, Failure> {
    Ok(ReplayOffsets::open(&kafka.brokers, &kafka.consumer, topic, &note::group(topic))?)
}

/// Reads the note of each partition. `ranges` are the offsets that the partitions have.
pub(super) fn read(
    notes: &ReplayOffsets,
    topic: &str,
    ranges: &[Range],
) -> Result<BTreeMap<i32, ReplayNote>, Failure> {
    let mut read = BTreeMap::new();
    for (partition, (next, metadata)) in notes.read((0..).zip(ranges).map(|(partition, _)| partition))? {
        let high = usize::try_from(partition).ok().and_then(|index| ranges.get(index)).map(|range| range.end);
        let group = note::group(topic);
        if high.is_none_or(|high| next.0 > high) {
            eprintln!(
                "warning: the note of what was put back, which the group {group} keeps, ends at offset {} of \
                 partition {partition}, and the partition before that: it is of an older topic of that name, and ignored",
                next.0
            );
            continue;
        }
        let note = ReplayNote::read(next, &metadata).map_err(|error| {
            format!(
                "the note of what was put back, which the group {group} keeps, cannot be read for partition \
                 {partition}: {error}; delete that group if all may be put back once more"
            )
        })?;
        read.insert(partition, note);
    }
    Ok(read)
}

/// Returns true if a dead letter has been replayed.
pub(super) fn contains(notes: &BTreeMap<i32, ReplayNote>, place: Place) -> bool {
    let offset = lockstep_engine::position::Offset(place.offset);
    notes.get(&place.partition).is_some_and(|note| note.contains(offset))
}
