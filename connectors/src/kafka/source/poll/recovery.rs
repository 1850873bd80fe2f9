//! A client that does not recover is replaced. librdkafka mends most of what happens to it, and 2.16 all that was tried: a
//! coordinator that was lost, a group that was deleted while the process was frozen, brokers that have moved. Where it does not, the
//! brokers answer another client for the same group, and this one has not been in its group for long.

use std::time::{Duration, Instant};

use lockstep_engine::condition::Cause;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::Poller;
use super::group::Step;
use super::offset_query::OffsetQuery;
use crate::kafka::statistics::Statistics;
use crate::kafka::{config, diagnosis};

/// How long a client has to recover by itself.
const RECOVERS_WITHIN: Duration = Duration::from_secs(60);
/// How long another client has to be answered.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Whether the client is where it should be.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    astray_since: Option<Instant>,
}

impl Recovery {
    /// Notes whether the client is in its group now. Says whether it is time to ask by another client, which is so once in a
    /// while as long as it is not.
    fn look(&mut self, is_well: bool, now: Instant) -> bool {
        if is_well {
            self.astray_since = None;
            return false;
        }
        let is_time = now.duration_since(*self.astray_since.get_or_insert(now)) >= RECOVERS_WITHIN;
        if is_time {
            self.astray_since = Some(now);
        }
        is_time
    }
}

impl Poller {
    /// Looks, once a second, whether the client is in its group, and asks by another one if it has not been for long.
    pub(super) fn watch_recovery(&mut self, statistics: &Statistics) {
        // What the pipeline is waited for is no fault of the client.
        let is_well = !matches!(self.step, Step::Settled)
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
                    let mut asked = TopicPartitionList::new();
                    asked.add_partition(&topic, 0);
                    client.committed_offsets(asked, ANSWERED_WITHIN).map(|_| ())
                };
                ask().map_err(|error: rdkafka::error::KafkaError| diagnosis::of_error("", &error))
            }));
        }
        let Some(answer) = self.another.as_ref().and_then(OffsetQuery::answer) else { return };
        self.another = None;
        match answer {
            Ok(()) => self.fail(format!(
                "the client of the group {} has not recovered within {} s, though the brokers answer another one: it is made \
                 anew",
                self.join.spec.group,
                RECOVERS_WITHIN.as_secs()
            )),
            // Why it cannot work is said by its own conditions.
            Err(Cause { what, .. }) => tracing::debug!(what, "another client is not answered either"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_client_asks_once_in_a_while_as_long_as_this_one_is_astray() {
        let (mut recovery, start) = (Recovery::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!recovery.look(true, at(0)));
        assert!(!recovery.look(false, at(1)) && !recovery.look(false, at(60)));
        assert!(!recovery.look(true, at(61)), "it has recovered");
        assert!(!recovery.look(false, at(62)));
        assert!(recovery.look(false, at(122)));
        assert!(!recovery.look(false, at(123)) && recovery.look(false, at(182)));
    }
}
