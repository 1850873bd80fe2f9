//! What has been done of a topic, kept as the committed offsets of a consumer group that nobody joins.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_engine::position::NextOffset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::commits::metadata;
use super::tail::{Quiet, reader};
use super::{Error, config};

const WITHIN: Duration = Duration::from_secs(30);

/// A partition's note: an offset, and metadata about what comes after it.
pub type Note = (NextOffset, String);

/// Reads and writes the notes about one topic.
pub struct ReplayOffsets {
    consumer: BaseConsumer<Quiet>,
    topic: String,
    group: String,
}

impl ReplayOffsets {
    /// The notes of a group about a topic. Properties about the connection are taken, others ignored.
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
            .create_with_context(Quiet)
            .map_err(|error| config::not_made("consumer", &error))?;
        Ok(Self { consumer, topic: topic.into(), group: group.into() })
    }

    /// The notes of partitions; those without one are missing.
    ///
    /// # Errors
    /// When the group's broker does not answer within 30 s, or refuses.
    pub fn read(&self, partitions: impl IntoIterator<Item = i32>) -> Result<BTreeMap<i32, Note>, Error> {
        let failed = |error| self.failed("read", &error);
        let mut wanted = TopicPartitionList::new();
        for partition in partitions {
            wanted.add_partition(&self.topic, partition);
        }
        if wanted.count() == 0 {
            return Ok(BTreeMap::new());
        }
        let committed = self.consumer.committed_offsets(wanted, WITHIN).map_err(failed)?;
        let mut notes = BTreeMap::new();
        for element in committed.elements() {
            element.error().map_err(failed)?;
            if let Offset::Offset(next) = element.offset() {
                notes.insert(element.partition(), (NextOffset(next), metadata(&element)));
            }
        }
        Ok(notes)
    }

    /// Writes notes, and returns when the broker has them.
    ///
    /// # Errors
    /// When the group's broker refuses, with the remedy where it says why.
    pub fn write(&self, notes: &BTreeMap<i32, Note>) -> Result<(), Error> {
        let failed = |error| self.failed("write", &error);
        let mut list = TopicPartitionList::new();
        for (partition, (next, metadata)) in notes {
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
        let what = format!("cannot {verb} the notes that the group {} keeps of {}", self.group, self.topic);
        let remedy = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::IllegalGeneration) => {
                "; somebody reads as a member of that group: let them leave it"
            }
            Some(RDKafkaErrorCode::OffsetMetadataTooLarge) => {
                "; the broker's offset.metadata.max.bytes is below Kafka's 4096: raise it"
            }
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => "; it needs READ on that group",
            _ => "",
        };
        Error::client(what, format!("{error}{remedy}"))
    }
}
