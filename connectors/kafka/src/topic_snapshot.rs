//! Topic snapshots: reads a topic from its beginning to its end at the time of opening.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::tail::{ReaderContext, TailRecord, reader};
use super::{Error, admin, config, watermarks};

/// The limit for unreachable brokers.
const PATIENCE: Duration = Duration::from_secs(30);

/// The offsets of a partition: from the first one to the one after the last.
pub type Range = std::ops::Range<i64>;

/// A reader of a topic. It leaves out the records of open and of aborted transactions.
pub struct TopicSnapshot {
    consumer: BaseConsumer<ReaderContext>,
    topic: String,
    /// The ranges at the time of opening, by partition.
    ranges: Vec<Range>,
    /// The ends of the partitions that are not read to their end yet.
    left: BTreeMap<i32, i64>,
    received_at: Instant,
}

/// The outcome of one read.
#[derive(Debug)]
pub enum SnapshotEvent {
    /// A record. The records of a partition come in order.
    Record(TailRecord),
    /// Nothing within the time.
    Nothing,
    /// All partitions are read to their end.
    End,
}

impl TopicSnapshot {
    /// Opens a snapshot of all partitions. Uses the properties about the connection, and ignores others.
    ///
    /// # Errors
    /// When the brokers cannot be reached within 10 s, or the topic does not exist.
    pub fn open(brokers: &str, properties: &BTreeMap<String, String>, topic: &str) -> Result<Self, Error> {
        Self::make(brokers, properties, topic, |_| true, |_, range| Some(range))
    }

    /// Opens a snapshot of some partitions, and asks for the offsets of these alone.
    pub(super) fn open_partitions(
        brokers: &str,
        properties: &BTreeMap<String, String>,
        topic: &str,
        wanted: impl Fn(i32) -> bool,
    ) -> Result<Self, Error> {
        Self::make(brokers, properties, topic, wanted, |_, range| Some(range))
    }

    /// Opens a snapshot of one position: one record, or none.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_at(
        brokers: &str,
        properties: &BTreeMap<String, String>,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Self, Error> {
        let end = offset.saturating_add(1);
        let all = |_| true;
        Self::make(brokers, properties, topic, all, |number, range| {
            (number == partition && range.contains(&offset)).then_some(offset..end)
        })
    }

    fn make(
        brokers: &str,
        properties: &BTreeMap<String, String>,
        topic: &str,
        queried: impl Fn(i32) -> bool,
        wanted: impl Fn(i32, Range) -> Option<Range>,
    ) -> Result<Self, Error> {
        let within = Duration::from_secs(10);
        let failed = |error: KafkaError| Error::client(format!("cannot read {topic}"), error);
        let counts = admin::partition_counts(brokers, properties, &[topic], within)?;
        let Some(count) = counts.first().copied().flatten() else {
            let why = "the brokers have no topic of that name";
            return Err(Error::client(format!("cannot read {topic}"), why));
        };
        let mut settings = reader(brokers, properties, "lockstep-whole");
        settings.set("enable.partition.eof", "true").set("queued.max.messages.kbytes", "16384");
        let consumer: BaseConsumer<ReaderContext> = settings
            .create_with_context(ReaderContext)
            .map_err(|error| config::not_made("consumer", &error))?;
        let (mut assignment, mut left) = (TopicPartitionList::new(), BTreeMap::new());
        let mut ranges = Vec::new();
        let partitions: Vec<(&str, i32)> =
            (0..count).filter(|number| queried(*number)).map(|number| (topic, number)).collect();
        let mut known = watermarks::ranges(&consumer, &partitions, within).map_err(failed)?.into_iter();
        for partition in 0..count {
            let range = if queried(partition) { known.next().unwrap_or(0..0) } else { 0..0 };
            ranges.push(range.clone());
            let Some(range) = wanted(partition, range).filter(|range| !range.is_empty()) else {
                continue;
            };
            assignment.add_partition_offset(topic, partition, Offset::Offset(range.start)).map_err(failed)?;
            left.insert(partition, range.end);
        }
        consumer.assign(&assignment).map_err(failed)?;
        Ok(Self { consumer, topic: topic.into(), ranges, left, received_at: Instant::now() })
    }

    /// The offsets of each partition at the time of opening. Some of them may belong to no record.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// Reads the next record.
    ///
    /// # Errors
    /// When reading fails for good, or the brokers send nothing for 30 s.
    pub fn next(&mut self, within: Duration) -> Result<SnapshotEvent, Error> {
        let what = || format!("reading {}", self.topic);
        if self.left.is_empty() {
            return Ok(SnapshotEvent::End);
        }
        match self.consumer.poll(within) {
            Some(Ok(message)) => {
                let record = TailRecord::of(&message);
                self.received_at = Instant::now();
                let Some(end) = self.left.get(&record.partition) else { return Ok(SnapshotEvent::Nothing) };
                if record.offset >= *end {
                    // A record after the end: newer than the snapshot, or the first one behind a missing record.
                    self.left.remove(&record.partition);
                    return Ok(SnapshotEvent::Nothing);
                }
                if record.offset + 1 == *end {
                    self.left.remove(&record.partition);
                }
                Ok(SnapshotEvent::Record(record))
            }
            // If the last offsets are markers of transactions and no records, only this event marks the end.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.received_at = Instant::now();
                self.left.remove(&partition);
                Ok(SnapshotEvent::Nothing)
            }
            Some(Err(
                error @ (KafkaError::MessageConsumptionFatal(_)
                | KafkaError::MessageConsumption(
                    RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic,
                )),
            )) => Err(Error::client(what(), error)),
            // Other errors pass, or the timeout below reports the silence that follows.
            Some(Err(_)) | None if self.received_at.elapsed() < PATIENCE => Ok(SnapshotEvent::Nothing),
            Some(Err(_)) | None => {
                let why = format!("nothing came for {} s; see that the brokers run", PATIENCE.as_secs());
                Err(Error::client(what(), why))
            }
        }
    }
}
