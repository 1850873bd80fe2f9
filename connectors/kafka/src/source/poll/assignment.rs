//! The lookup before an assignment: the offsets at which reading begins, and the stream state of the partitions.

use std::collections::HashMap;
use std::sync::Arc;

use lockstep_engine::condition::Cause;
use lockstep_engine::pipeline::StartAt;
use lockstep_engine::position::{Commit, InputId, NextOffset, PartitionId};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::timing::REQUEST;
use crate::changelog::{Changelog, States};
use crate::commits::metadata;
use crate::source::context::{SourceContext, TopicPartition};
use crate::{diagnosis, watermarks};

/// A newly assigned partition: its first offset, and its last commit.
pub(super) struct AssignmentStart {
    pub(super) id: PartitionId,
    pub(super) topic: Arc<str>,
    pub(super) from: NextOffset,
    pub(super) committed: Option<Commit>,
}

/// The outcome of the lookup.
pub(super) struct AssignmentStarts {
    pub(super) partitions: Vec<AssignmentStart>,
    /// None if the pipeline keeps no stream state.
    pub(super) states: Option<States>,
}

/// A lookup with its client.
pub(super) struct AssignmentLookup {
    pub(super) consumer: Arc<BaseConsumer<SourceContext>>,
    pub(super) inputs: Arc<HashMap<String, InputId>>,
    pub(super) start: StartAt,
    pub(super) changelog: Option<Changelog>,
}

impl AssignmentLookup {
    /// Asks the brokers, and waits for the answers.
    pub(super) fn run(&self, list: &[TopicPartition]) -> Result<AssignmentStarts, Cause> {
        let starts = self.positions(list).map_err(|error| match error.rdkafka_error_code() {
            // The query asks for stable offsets, so it also waits while offsets are part of an open transaction.
            Some(RDKafkaErrorCode::OperationTimedOut) => Cause::passing(
                "looking up where to read: the broker does not answer, or offsets of the group are part of a \
                 transaction that has not ended",
                "a transaction of a process that has gone ends after transaction.timeout.ms; where this goes on for longer, \
                 `kafka-transactions.sh find-hanging` says what the broker holds open",
            ),
            _ => diagnosis::of_error("looking up where to read", &error),
        })?;
        // After the offsets: the changelog then holds all the state that led to them.
        let states = match &self.changelog {
            Some(changelog) if !starts.is_empty() => {
                let mut numbers: Vec<i32> = starts.iter().map(|t| t.id.partition).collect();
                numbers.sort_unstable();
                numbers.dedup();
                Some(
                    changelog
                        .read(&numbers)
                        .map_err(|error| Cause::passing(format!("assigning partitions: {error}"), ""))?,
                )
            }
            _ => None,
        };
        Ok(AssignmentStarts { partitions: starts, states })
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
        let mut starts = Vec::with_capacity(list.len());
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
            starts.push(AssignmentStart {
                id,
                topic: Arc::from(element.topic()),
                from: NextOffset(0),
                committed,
            });
        }
        let topics: Vec<Arc<str>> = starts.iter().map(|t| t.topic.clone()).collect();
        let ids: Vec<(&str, i32)> =
            topics.iter().zip(&starts).map(|(topic, t)| (&**topic, t.id.partition)).collect();
        let ranges = watermarks::ranges(&self.consumer, &ids, REQUEST)?;
        for (start, range) in starts.iter_mut().zip(ranges) {
            start.from = match (&start.committed, self.start) {
                (Some(commit), _) => NextOffset(commit.next.0.max(range.start)),
                (None, StartAt::Earliest) => NextOffset(range.start),
                (None, StartAt::Latest) => NextOffset(range.end),
            };
        }
        Ok(starts)
    }
}
