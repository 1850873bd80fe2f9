//! The first and last offsets of partitions, by one request to each leader for all of its partitions.

use std::ops::Range;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// The offset of the first record that each partition has, in the order of the partitions.
///
/// # Errors
/// When a leader does not answer within the time, or refuses.
pub(super) fn low<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(&str, i32)],
    within: Duration,
) -> Result<Vec<i64>, KafkaError> {
    // librdkafka turns these offsets into the timestamps -2 and -1 of the protocol (`ListOffsets`).
    ask(consumer, partitions, Offset::Beginning, within)
}

/// The offset behind the last record of each partition. For a reader of committed records, that is the last stable offset.
///
/// # Errors
/// As [`low`].
pub(super) fn high<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(&str, i32)],
    within: Duration,
) -> Result<Vec<i64>, KafkaError> {
    ask(consumer, partitions, Offset::End, within)
}

/// The ranges from [`low`] to [`high`].
///
/// # Errors
/// As [`low`].
pub(super) fn ranges<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(&str, i32)],
    within: Duration,
) -> Result<Vec<Range<i64>>, KafkaError> {
    let low = low(consumer, partitions, within)?;
    let high = high(consumer, partitions, within)?;
    Ok(low.into_iter().zip(high).map(|(low, high)| low..high).collect())
}

fn ask<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(&str, i32)],
    which: Offset,
    within: Duration,
) -> Result<Vec<i64>, KafkaError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let mut queried = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        queried.add_partition_offset(topic, *partition, which)?;
    }
    let answered = consumer.offsets_for_times(queried, within)?;
    let offset = |(topic, partition): &(&str, i32)| {
        let unknown = || KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition);
        let element = answered.find_partition(topic, *partition).ok_or_else(unknown)?;
        element.error()?;
        match element.offset() {
            Offset::Offset(offset) => Ok(offset),
            _ => Err(unknown()),
        }
    };
    partitions.iter().map(offset).collect()
}
