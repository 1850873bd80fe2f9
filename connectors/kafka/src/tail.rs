//! Follows all partitions of a topic, for people, without a group and without commits.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use lockstep_engine::sample::Header;
use lockstep_engine::time::Timestamp;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Error, admin, client_log, config, headers};

pub(super) struct ReaderContext;

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is no error: the read returns it. Nor is a closed connection to a coordinator. Without a group, that
        // connection serves single requests, and each returns an error of its own.
        let of_coordinator = reason.starts_with("GroupCoordinator: ");
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) && !of_coordinator {
            tracing::warn!(%error, reason, "cannot read the topic for now");
        }
    }
}

impl ConsumerContext for ReaderContext {}

/// The position at which following begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// At the oldest record that the broker has.
    Beginning,
    /// At the next new record.
    #[default]
    End,
}

/// A record of the topic.
#[derive(Clone, Debug)]
pub struct TailRecord {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Bytes,
    /// The headers in order.
    pub headers: Vec<Header>,
    /// The record's timestamp.
    pub timestamp: Option<Timestamp>,
}

impl TailRecord {
    pub(super) fn of(message: &BorrowedMessage<'_>) -> Self {
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(Bytes::copy_from_slice),
            value: message.payload().map(Bytes::copy_from_slice).unwrap_or_default(),
            headers: headers::headers(message),
            timestamp: message.timestamp().to_millis().map(Timestamp::from_millis),
        }
    }
}

/// The settings of a client that reads partitions without joining a group. librdkafka requires the name of a group all the same. Uses
/// the properties about the connection, and ignores others.
pub(super) fn reader(brokers: &str, properties: &BTreeMap<String, String>, group: &str) -> ClientConfig {
    let mut settings = config::connecting(brokers, properties);
    settings
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "50")
        .set("auto.offset.reset", "earliest");
    settings
}

/// Follows all partitions of a topic, each in order.
pub struct Tail {
    consumer: BaseConsumer<ReaderContext>,
}

impl Tail {
    /// Begins to follow a topic. Uses the properties about the connection, and ignores others.
    ///
    /// # Errors
    /// When the brokers cannot be reached within 10 s, or the topic does not exist.
    pub fn open(
        brokers: &str,
        properties: &BTreeMap<String, String>,
        topic: &str,
        from: From,
    ) -> Result<Self, Error> {
        let counts = admin::partition_counts(brokers, properties, &[topic], Duration::from_secs(10))?;
        let Some(count) = counts.first().copied().flatten() else {
            return Err(Error::client(
                format!("cannot follow {topic}"),
                "the brokers have no topic of that name",
            ));
        };
        let consumer: BaseConsumer<ReaderContext> = reader(brokers, properties, "lockstep-tail")
            .create_with_context(ReaderContext)
            .map_err(|error| config::not_made("consumer", &error))?;
        let start = match from {
            From::Beginning => Offset::Beginning,
            From::End => Offset::End,
        };
        let mut all = TopicPartitionList::new();
        for partition in 0..count {
            all.add_partition_offset(topic, partition, start)
                .map_err(|error| Error::client(format!("cannot follow {topic}"), error))?;
        }
        consumer.assign(&all).map_err(|error| Error::client(format!("cannot follow {topic}"), error))?;
        Ok(Self { consumer })
    }

    /// The next record, if one comes within the time.
    ///
    /// # Errors
    /// When the client has failed for good. It logs unreachable brokers, and waits for them.
    pub fn next(&mut self, within: Duration) -> Result<Option<TailRecord>, Error> {
        match self.consumer.poll(within) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(TailRecord::of(&message))),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                Err(Error::client("following has failed", error))
            }
            // The context logs it.
            Some(Err(_)) => Ok(None),
        }
    }
}
