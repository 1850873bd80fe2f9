//! Asks the brokers for the ends of the input partitions.

use std::time::Duration;

use lockstep_engine::ingest::until::EndOffsets;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::position::{InputId, NextOffset, PartitionId};
use rdkafka::consumer::BaseConsumer;

use super::tail::{ReaderContext, reader};
use super::{Error, admin, config, watermarks};

/// Returns the end of each partition of a pipeline's inputs: the offset after its last record.
///
/// # Errors
/// When the brokers cannot be reached within the time for each question, or a topic does not exist.
pub fn ends(pipeline: &Pipeline, within: Duration) -> Result<EndOffsets, Error> {
    let topics = admin::input_topics(pipeline);
    let counts = admin::partition_counts(&pipeline.kafka.brokers, &pipeline.kafka.consumer, &topics, within)?;
    let consumer: BaseConsumer<ReaderContext> =
        reader(&pipeline.kafka.brokers, &pipeline.kafka.consumer, "lockstep-ends")
            .create_with_context(ReaderContext)
            .map_err(|error| config::not_made("consumer", &error))?;
    let mut ends = EndOffsets::new();
    for (index, (topic, count)) in topics.iter().zip(counts).enumerate() {
        let failed =
            |why: &dyn std::fmt::Display| Error::client(format!("cannot read the ends of {topic}"), why);
        let count = count.ok_or_else(|| failed(&"the brokers have no topic of that name"))?;
        let input = InputId(u16::try_from(index).map_err(|error| failed(&error))?);
        let partitions: Vec<(&str, i32)> = (0..count).map(|partition| (*topic, partition)).collect();
        let highs = watermarks::high(&consumer, &partitions, within).map_err(|error| failed(&error))?;
        ends.extend(
            (0..count)
                .zip(highs)
                .map(|(partition, high)| (PartitionId { input, partition }, NextOffset(high))),
        );
    }
    Ok(ends)
}
