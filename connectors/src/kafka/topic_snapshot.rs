//! Reads what a topic holds, from its beginning to its end as it is now, and then ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::tail::{Quiet, TailRecord, reader};
use super::{Error, admin, config, watermarks};

/// How long brokers that are away are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The offsets that a partition has: from the first to, not including, the last.
pub type Range = std::ops::Range<i64>;

/// Reads a topic. Records of transactions that are open or were aborted are not among it.
pub struct TopicSnapshot {
    consumer: BaseConsumer<Quiet>,
    topic: String,
    /// By partition, as they were at the beginning.
    ranges: Vec<Range>,
    /// Where reading a partition ends, of those that are still read.
    left: BTreeMap<i32, i64>,
    heard_at: Instant,
}

/// What reading on has brought.
#[derive(Debug)]
pub enum Next {
    /// A record. Those of a partition come in order.
    Record(TailRecord),
    /// Nothing within the time.
    Nothing,
    /// All has been read.
    End,
}

impl TopicSnapshot {
    /// Begins to read all partitions. Properties about the connection are taken, others ignored.
    ///
    /// # Errors
    /// When the brokers cannot be reached within 10 s, or the topic does not exist.
    pub fn open(brokers: &str, properties: &BTreeMap<String, String>, topic: &str) -> Result<Self, Error> {
        Self::make(brokers, properties, topic, |_| true, |_, range| Some(range))
    }

    /// Begins to read some partitions, and asks for the offsets of these alone.
    pub(super) fn open_partitions(
        brokers: &str,
        properties: &BTreeMap<String, String>,
        topic: &str,
        wanted: impl Fn(i32) -> bool,
    ) -> Result<Self, Error> {
        Self::make(brokers, properties, topic, wanted, |_, range| Some(range))
    }

    /// Begins to read what stands at one place, if anything does.
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
        asked: impl Fn(i32) -> bool,
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
        let consumer: BaseConsumer<Quiet> =
            settings.create_with_context(Quiet).map_err(|error| config::not_made("consumer", &error))?;
        let (mut assignment, mut left) = (TopicPartitionList::new(), BTreeMap::new());
        let mut ranges = Vec::new();
        let partitions: Vec<(&str, i32)> =
            (0..count).filter(|number| asked(*number)).map(|number| (topic, number)).collect();
        let mut known = watermarks::ranges(&consumer, &partitions, within).map_err(failed)?.into_iter();
        for partition in 0..count {
            let range = if asked(partition) { known.next().unwrap_or(0..0) } else { 0..0 };
            ranges.push(range.clone());
            let Some(range) = wanted(partition, range).filter(|range| !range.is_empty()) else {
                continue;
            };
            assignment.add_partition_offset(topic, partition, Offset::Offset(range.start)).map_err(failed)?;
            left.insert(partition, range.end);
        }
        consumer.assign(&assignment).map_err(failed)?;
        Ok(Self { consumer, topic: topic.into(), ranges, left, heard_at: Instant::now() })
    }

    /// The offsets that each partition had when reading began. Not all of them are those of records.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// Reads on.
    ///
    /// # Errors
    /// When reading cannot go on, or nothing has been heard of the brokers for 30 s.
    pub fn next(&mut self, within: Duration) -> Result<Next, Error> {
        let what = || format!("reading {}", self.topic);
        if self.left.is_empty() {
            return Ok(Next::End);
        }
        match self.consumer.poll(within) {
            Some(Ok(message)) => {
                let record = TailRecord::of(&message);
                self.heard_at = Instant::now();
                let Some(end) = self.left.get(&record.partition) else { return Ok(Next::Nothing) };
                if record.offset >= *end {
                    // What came after reading had begun, or in the place of a record that is not there.
                    self.left.remove(&record.partition);
                    return Ok(Next::Nothing);
                }
                if record.offset + 1 == *end {
                    self.left.remove(&record.partition);
                }
                Ok(Next::Record(record))
            }
            // Where the last offsets are no records but markers of transactions, only this tells of the end.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.heard_at = Instant::now();
                self.left.remove(&partition);
                Ok(Next::Nothing)
            }
            Some(Err(
                error @ (KafkaError::MessageConsumptionFatal(_)
                | KafkaError::MessageConsumption(
                    RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic,
                )),
            )) => Err(Error::client(what(), error)),
            // Other trouble passes, or is told by the silence that follows.
            Some(Err(_)) | None if self.heard_at.elapsed() < PATIENCE => Ok(Next::Nothing),
            Some(Err(_)) | None => {
                let why = format!("nothing came for {} s; see that the brokers run", PATIENCE.as_secs());
                Err(Error::client(what(), why))
            }
        }
    }
}
