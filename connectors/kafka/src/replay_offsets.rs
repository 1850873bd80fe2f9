//! Replay offsets: the progress of a replay of a topic, kept as the committed offsets of a consumer group without members.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_engine::position::NextOffset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::commits::metadata;
use super::tail::{ReaderContext, reader};
use super::{Error, config};

const WITHIN: Duration = Duration::from_secs(30);

/// The progress in a partition: an offset, and metadata about the records after it.
pub type ReplayOffset = (NextOffset, String);

/// Reads and writes the replay offsets of one topic.
pub struct ReplayOffsets {
    consumer: BaseConsumer<ReaderContext>,
    topic: String,
    group: String,
}

impl ReplayOffsets {
    /// Opens the replay offsets that a group has of a topic. Uses the properties about the connection, and ignores others.
    ///
    /// # Errors
    /// When librdkafka refuses a property.
    pub fn open(
        brokers: &str,
        properties: &BTreeMap<String, String>,
        topic: &str,
        group: &str,
    ) -> Result<Self, Error> {
        let consumer = reader(brokers, properties, group)
            .create_with_context(ReaderContext)
            .map_err(|error| config::not_made("consumer", &error))?;
        Ok(Self { consumer, topic: topic.into(), group: group.into() })
    }

    /// Reads the offsets of partitions; partitions without one are missing in the map.
    ///
    /// # Errors
    /// When the group's broker does not answer within 30 s, or refuses.
    pub fn read(
        &self,
        partitions: impl IntoIterator<Item = i32>,
    ) -> Result<BTreeMap<i32, ReplayOffset>, Error> {
        let failed = |error| self.failed("read", &error);
        let mut wanted = TopicPartitionList::new();
        for partition in partitions {
            wanted.add_partition(&self.topic, partition);
        }
        if wanted.count() == 0 {
            return Ok(BTreeMap::new());
        }
        let committed = self.consumer.committed_offsets(wanted, WITHIN).map_err(failed)?;
        let mut offsets = BTreeMap::new();
        for element in committed.elements() {
            element.error().map_err(failed)?;
            if let Offset::Offset(next) = element.offset() {
                offsets.insert(element.partition(), (NextOffset(next), metadata(&element)));
            }
        }
        Ok(offsets)
    }

    /// Writes offsets, and returns when the broker has them.
    ///
    /// # Errors
    /// When the group's broker refuses, with the remedy if the reason is known.
    pub fn write(&self, offsets: &BTreeMap<i32, ReplayOffset>) -> Result<(), Error> {
        let failed = |error| self.failed("write", &error);
        let mut list = TopicPartitionList::new();
        for (partition, (next, metadata)) in offsets {
            let mut element = list.add_partition(&self.topic, *partition);
            element.set_offset(Offset::Offset(next.0)).map_err(failed)?;
            element.set_metadata(metadata);
        }
        if list.count() == 0 {
            return Ok(());
        }
        self.consumer.commit(&list, CommitMode::Sync).map_err(failed)
    }

    fn failed(&self, verb: &str, error: &KafkaError) -> Error {
        let what = format!("cannot {verb} the replay offsets of the group {} for {}", self.group, self.topic);
        let remedy = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::IllegalGeneration) => {
                "; another client reads as a member of that group; stop it"
            }
            Some(RDKafkaErrorCode::OffsetMetadataTooLarge) => {
                "; the broker's offset.metadata.max.bytes is below Kafka's 4096: raise it"
            }
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => "; grant READ on that group to this user",
            _ => "",
        };
        Error::client(what, format!("{error}{remedy}"))
    }
}
