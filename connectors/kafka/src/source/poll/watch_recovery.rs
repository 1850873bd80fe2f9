//! Watches for a client that does not recover, and ends the pipeline so that a new client takes its place.

use std::time::Instant;

use lockstep_engine::condition::Cause;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::Poller;
use super::offset_query::OffsetQuery;
use super::recovery::{ANSWERED_WITHIN, RECOVERS_WITHIN};
use super::step::RebalanceStep;
use crate::statistics::ClientStatistics;
use crate::{config, diagnosis};

impl Poller {
    /// Checks, once a second, that the client is in its group. If it has been out for long, another client asks the brokers.
    pub(super) fn watch_recovery(&mut self, statistics: &ClientStatistics) {
        // A rebalance that waits for the pipeline is no fault of the client.
        let is_well = !matches!(self.step, RebalanceStep::Settled)
            || (statistics.is_connected()
                && statistics.cgrp.as_ref().is_none_or(|group| group.state == "up"));
        let is_time = self.recovery.look(is_well, Instant::now());
        if is_well {
            self.another = None;
        } else if is_time && self.another.is_none() {
            let (spec, topic) =
                (self.join.spec.clone(), self.join.topics.first().cloned().unwrap_or_default());
            self.another = Some(OffsetQuery::start("kafka-recovery", &self.wake, move || {
                let mut settings = config::connecting(&spec.brokers, &spec.consumer);
                settings.set("group.id", &spec.group);
                let ask = || {
                    let client: BaseConsumer = settings.create()?;
                    let mut queried = TopicPartitionList::new();
                    queried.add_partition(&topic, 0);
                    client.committed_offsets(queried, ANSWERED_WITHIN).map(|_| ())
                };
                ask().map_err(|error: rdkafka::error::KafkaError| diagnosis::of_error("", &error))
            }));
        }
        let Some(answer) = self.another.as_ref().and_then(OffsetQuery::answer) else { return };
        self.another = None;
        match answer {
            Ok(()) => self.fail(format!(
                "the client of the group {} has not recovered within {} s, though the brokers answer another one; the pipeline \
                 starts a new client",
                self.join.spec.group,
                RECOVERS_WITHIN.as_secs()
            )),
            // The conditions of the first client report the cause.
            Err(Cause { what, .. }) => tracing::debug!(cause = what, "the brokers do not answer another client either"),
        }
    }
}
