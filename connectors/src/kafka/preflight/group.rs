//! Whether a consumer group may be read. Brokers tell that of a group only once it exists, so something is asked of it that
//! needs the right and changes nothing: to commit a position of a partition that is not there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockstep_engine::condition::Cause;
use lockstep_engine::pipeline::KafkaSpec;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::{Error, config, diagnosis};

/// No topic has this partition.
const NO_PARTITION: i32 = i32::MAX;

/// How long a coordinator is waited for, in milliseconds.
const WITHIN: &str = "6000";

/// Keeps that the client has been told of a missing right: it does not say so of the commit if the coordinator may not be found.
#[derive(Default)]
struct Asking {
    is_refused: AtomicBool,
}

impl Asking {
    fn heard(&self, error: &KafkaError) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed) {
            self.is_refused.store(true, Ordering::Relaxed);
        }
    }
}

impl ClientContext for Asking {
    /// That the commit fails is what is wanted.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility != "COMMITFAIL" {
            super::super::source::log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, _: &str) {
        self.heard(&error);
    }
}

impl ConsumerContext for Asking {}

/// Asks the group's coordinator.
///
/// # Errors
/// That the right is missing, or that there is no answer.
pub(super) fn may_read(kafka: &KafkaSpec, topic: &str) -> Result<(), Cause> {
    let failed = |error: &Error| Cause::lasting(error.to_string(), "");
    let mut settings = config::connecting(&kafka.brokers, &kafka.consumer);
    settings.set("group.id", &kafka.group).set("enable.auto.commit", "false");
    // What is asked before a coordinator is found waits for it for as long.
    settings.set("session.timeout.ms", WITHIN).set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer<Asking> = settings
        .create_with_context(Asking::default())
        .map_err(|error| failed(&config::not_made("consumer", &error)))?;
    let mut nowhere = TopicPartitionList::new();
    let committed = nowhere
        .add_partition_offset(topic, NO_PARTITION, Offset::Offset(0))
        .and_then(|()| consumer.commit(&nowhere, CommitMode::Sync));
    // What the client was told meanwhile.
    while let Some(Err(error)) = consumer.poll(Duration::ZERO) {
        consumer.context().heard(&error);
    }
    match committed.err().and_then(|error| error.rdkafka_error_code()) {
        _ if consumer.context().is_refused.load(Ordering::Relaxed) => Err(lacks(&kafka.group)),
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => Err(lacks(&kafka.group)),
        // The group is asked for before the topic and the partition.
        None
        | Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed,
        ) => Ok(()),
        Some(_) => Err(no_coordinator(&kafka.group)),
    }
}

fn lacks(group: &str) -> Cause {
    diagnosis::lacks("READ", &format!("group {group}"))
}

fn no_coordinator(group: &str) -> Cause {
    Cause::passing(
        format!("group {group} has no coordinator that answers"),
        "where that lasts, see that the brokers can make the topic __consumer_offsets and that it has its replicas \
         (offsets.topic.replication.factor)",
    )
}
