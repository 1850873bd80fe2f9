//! What has to be known before partitions are taken over: where reading begins, and what streams carried on before.

use std::collections::HashMap;
use std::sync::Arc;

use lockstep_engine::condition::Cause;
use lockstep_engine::pipeline::StartAt;
use lockstep_engine::position::{Commit, InputId, NextOffset, PartitionId};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::REQUEST;
use crate::kafka::changelog::{Changelog, States};
use crate::kafka::commits::metadata;
use crate::kafka::source::context::{Context, TopicPartition};
use crate::kafka::{diagnosis, watermarks};

/// A partition to be taken over: where reading begins, and what was last committed.
pub(super) struct AssignmentStart {
    pub(super) id: PartitionId,
    pub(super) topic: Arc<str>,
    pub(super) from: NextOffset,
    pub(super) committed: Option<Commit>,
}

/// All that has to be known.
pub(super) struct Found {
    pub(super) takeovers: Vec<AssignmentStart>,
    /// None where nothing is kept of it.
    pub(super) states: Option<States>,
}

/// Who looks.
pub(super) struct Looker {
    pub(super) consumer: Arc<BaseConsumer<Context>>,
    pub(super) inputs: Arc<HashMap<String, InputId>>,
    pub(super) start: StartAt,
    pub(super) changelog: Option<Changelog>,
}

impl Looker {
    /// Asks the brokers, and waits for them.
    pub(super) fn look_up(&self, list: &[TopicPartition]) -> Result<Found, Cause> {
        let takeovers = self.positions(list).map_err(|error| match error.rdkafka_error_code() {
            // It is asked for what is settled: the client waits, too, while positions are part of an open transaction.
            Some(RDKafkaErrorCode::OperationTimedOut) => Cause::passing(
                "looking up where to read: the broker does not answer, or positions of the group are part of a \
                 transaction that has not ended",
                "a transaction of a process that has gone ends after transaction.timeout.ms; where this goes on for longer, \
                 `kafka-transactions.sh find-hanging` says what the broker holds open",
            ),
            _ => diagnosis::of_error("looking up where to read", &error),
        })?;
        // After the positions: what led to them is in the changelog by then.
        let states = match &self.changelog {
            Some(changelog) if !takeovers.is_empty() => {
                let mut numbers: Vec<i32> = takeovers.iter().map(|t| t.id.partition).collect();
                numbers.sort_unstable();
                numbers.dedup();
                Some(
                    changelog
                        .read(&numbers)
                        .map_err(|error| Cause::passing(format!("taking partitions over: {error}"), ""))?,
                )
            }
            _ => None,
        };
        Ok(Found { takeovers, states })
    }

    fn positions(&self, list: &[TopicPartition]) -> Result<Vec<AssignmentStart>, KafkaError> {
        if list.is_empty() {
            return Ok(Vec::new());
        }
        let mut wanted = TopicPartitionList::with_capacity(list.len());
        for (topic, partition) in list {
            wanted.add_partition(topic, *partition);
        }
        let committed = self.consumer.committed_offsets(wanted, REQUEST)?;
        let mut takeovers = Vec::with_capacity(list.len());
        for element in committed.elements() {
            element.error()?;
            let Some(input) = self.inputs.get(element.topic()) else { continue };
            let id = PartitionId { input: *input, partition: element.partition() };
            let committed = match element.offset() {
                Offset::Offset(offset) => {
                    Some(Commit { partition: id, next: NextOffset(offset), metadata: metadata(&element) })
                }
                _ => None,
            };
            takeovers.push(AssignmentStart {
                id,
                topic: Arc::from(element.topic()),
                from: NextOffset(0),
                committed,
            });
        }
        let topics: Vec<Arc<str>> = takeovers.iter().map(|t| t.topic.clone()).collect();
        let partitions: Vec<(&str, i32)> =
            topics.iter().zip(&takeovers).map(|(topic, t)| (&**topic, t.id.partition)).collect();
        let ranges = watermarks::ranges(&self.consumer, &partitions, REQUEST)?;
        for (takeover, range) in takeovers.iter_mut().zip(ranges) {
            takeover.from = match (&takeover.committed, self.start) {
                (Some(commit), _) => NextOffset(commit.next.0.max(range.start)),
                (None, StartAt::Earliest) => NextOffset(range.start),
                (None, StartAt::Latest) => NextOffset(range.end),
            };
        }
        Ok(takeovers)
    }
}
