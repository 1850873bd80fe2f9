//! Checks the right to read a consumer group. Brokers report the rights on a group only once it exists. So the check commits an offset
//! of a partition that does not exist: that needs the right, and changes nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockstep_engine::condition::Cause;
use lockstep_engine::pipeline::KafkaSpec;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::{Error, client_log, config, diagnosis};

/// No topic has this partition.
const NO_PARTITION: i32 = i32::MAX;

/// The limit for finding a coordinator, in milliseconds.
const WITHIN: &str = "6000";

/// Keeps that the client has reported a missing right. The commit itself does not return that error if the user may not find the
/// coordinator.
#[derive(Default)]
struct Asking {
    is_refused: AtomicBool,
}

impl Asking {
    fn take(&self, error: &KafkaError) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed) {
            self.is_refused.store(true, Ordering::Relaxed);
        }
    }
}

impl ClientContext for Asking {
    /// Leaves out the failed commit, which is the purpose of the check.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility != "COMMITFAIL" {
            client_log::log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, _: &str) {
        self.take(&error);
    }
}

impl ConsumerContext for Asking {}

/// Checks the right with the group's coordinator.
///
/// # Errors
/// If the right is missing, or the coordinator does not answer.
pub(super) fn may_read(kafka: &KafkaSpec, topic: &str) -> Result<(), Cause> {
    let failed = |error: &Error| Cause::lasting(error.to_string(), "");
    let mut settings = config::connecting(&kafka.brokers, &kafka.consumer);
    settings.set("group.id", &kafka.group).set("enable.auto.commit", "false");
    // A commit before the coordinator is found waits for it this long.
    settings.set("session.timeout.ms", WITHIN).set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer<Asking> = settings
        .create_with_context(Asking::default())
        .map_err(|error| failed(&config::not_made("consumer", &error)))?;
    let mut nowhere = TopicPartitionList::new();
    let committed = nowhere
        .add_partition_offset(topic, NO_PARTITION, Offset::Offset(0))
        .and_then(|()| consumer.commit(&nowhere, CommitMode::Sync));
    // The errors that the client received meanwhile.
    while let Some(Err(error)) = consumer.poll(Duration::ZERO) {
        consumer.context().take(&error);
    }
    match committed.err().and_then(|error| error.rdkafka_error_code()) {
        _ if consumer.context().is_refused.load(Ordering::Relaxed) => Err(lacks(&kafka.group)),
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => Err(lacks(&kafka.group)),
        // The coordinator checks the group before the topic and the partition.
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
        "where that lasts, see that the brokers can create the topic __consumer_offsets and that it has its replicas \
         (offsets.topic.replication.factor)",
    )
}
