//! Turns errors and statistics of the consumer into conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use lockstep_engine::condition::{Cause, Work};
use lockstep_engine::ingest::source::SourceEvent;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::conditions::GROUP;
use super::step::RebalanceStep;
use super::{AssignedPartition, Poller};
use crate::diagnosis;
use crate::statistics::{ClientStatistics, GroupState};

impl Poller {
    /// Takes an error that is not about a partition.
    pub(super) fn client_error(&mut self, code: Option<RDKafkaErrorCode>, reason: &str) {
        use RDKafkaErrorCode as Code;
        match code {
            // The read of the partition handles the first two. The end of a partition is no error.
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::PartitionEOF) => {}
            Some(Code::TopicAuthorizationFailed | Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                let named = self.join.topics.iter().find(|topic| names(reason, topic)).cloned();
                let cause = match (code, &named) {
                    (Some(Code::TopicAuthorizationFailed), Some(topic)) => {
                        diagnosis::lacks("READ", &format!("topic {topic}"))
                    }
                    (_, Some(topic)) => diagnosis::absent(topic, "READ"),
                    _ => diagnosis::cause(code, reason),
                };
                self.conditions.cannot_read(named.as_deref().unwrap_or_default(), cause);
            }
            Some(Code::GroupAuthorizationFailed) => {
                let cause = diagnosis::lacks("READ", &format!("group {}", self.join.spec.group));
                self.conditions.reports.report(Work::Read, GROUP, cause);
            }
            Some(Code::UnreleasedInstanceId) => {
                let cause = self.join.name_is_held();
                self.conditions.reports.report(Work::Read, GROUP, cause);
            }
            code if diagnosis::is_of_connection(code) => {
                self.conditions.connection.error(code, reason, Instant::now());
            }
            code => self.conditions.reports.report(Work::Read, "", diagnosis::cause(code, reason)),
        }
    }

    /// Takes an error of a partition that the thread reads.
    pub(super) fn read_error(&mut self, topic: &str, error: &KafkaError) {
        let cause = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                diagnosis::lacks("READ", &format!("topic {topic}"))
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                diagnosis::absent(topic, "READ")
            }
            _ => diagnosis::of_error(&format!("reading topic {topic}"), error),
        };
        self.conditions.cannot_read(topic, cause);
    }

    /// Observes the statistics of the client, once a second.
    pub(super) fn look_at(&mut self, statistics: &ClientStatistics) {
        self.conditions.connection.look(statistics, true);
        self.conditions.throttling.look(statistics, Instant::now());
        if self.conditions.connection.is_up() {
            self.conditions.reports.done(Work::Read, "");
            self.look_at_leaders(statistics);
            self.try_unreadable();
            if let Some(group) = &statistics.cgrp {
                self.look_at_group(group);
            }
        }
        self.look_at_commits();
        self.report_readable();
    }

    fn look_at_leaders(&mut self, statistics: &ClientStatistics) {
        let conditions = &mut self.conditions;
        let away = |p: &&AssignedPartition| !statistics.is_reachable(&p.topic, p.id.partition);
        let unreachable: BTreeMap<(String, i32), ()> = self
            .partitions
            .iter()
            .filter(away)
            .map(|p| ((p.topic.to_string(), p.id.partition), ()))
            .collect();
        for (topic, number) in std::mem::replace(&mut conditions.unreachable, unreachable).into_keys() {
            if !conditions.unreachable.contains_key(&(topic.clone(), number)) {
                conditions.reports.done(Work::Read, &format!("{topic}/{number}"));
            }
        }
        for (topic, number) in conditions.unreachable.keys() {
            let cause = Cause::passing(
                format!("partition {number} of {topic} has no leader that answers"),
                "see that the brokers that have it run",
            );
            conditions.reports.report(Work::Read, &format!("{topic}/{number}"), cause);
        }
    }

    fn try_unreadable(&mut self) {
        let now = Instant::now();
        let topics: BTreeSet<Arc<str>> = self.partitions.iter().map(|p| p.topic.clone()).collect();
        let mut is_time = false;
        for topic in topics {
            is_time |= self.conditions.is_due_for_trial(&topic, now);
        }
        if is_time {
            self.assign_again();
        }
    }

    fn look_at_group(&mut self, group: &GroupState) {
        let (GroupState { state, join_state }, name) = (group, &self.join.spec.group);
        let work = if self.owned.is_empty() { Work::Read } else { Work::Commit };
        let cause = if state != "up" {
            Some(Cause::passing(
                format!("group {name} has no coordinator"),
                "where that lasts, see that the brokers can make the topic __consumer_offsets and that it has its replicas \
                 (offsets.topic.replication.factor)",
            ))
        } else if join_state != "steady"
            && self.owned.is_empty()
            && matches!(self.step, RebalanceStep::Settled)
        {
            Some(Cause::passing(
                format!("group {name} shares its partitions out"),
                "a member that does not answer holds this up",
            ))
        } else {
            None
        };
        let other = if work == Work::Read { Work::Commit } else { Work::Read };
        self.conditions.reports.done(other, GROUP);
        match cause {
            Some(cause) => self.conditions.reports.report(work, GROUP, cause),
            None => self.conditions.reports.done(work, GROUP),
        }
    }

    fn look_at_commits(&mut self) {
        if self.commits.is_unanswered(Instant::now()) {
            let cause =
                Cause::passing("the brokers do not answer a commit", "see that the group's coordinator runs");
            self.conditions.cannot_commit(cause);
        }
    }

    /// Reports to the pipeline whether its inputs can be read. An unreadable input is not silent, so bundles wait for it.
    pub(super) fn report_readable(&mut self) {
        let conditions = &mut self.conditions;
        let is_readable = conditions.connection.is_up()
            && conditions.unreadable.is_empty()
            && conditions.unreachable.is_empty();
        if std::mem::replace(&mut conditions.is_readable, is_readable) != is_readable {
            self.held.push_back(SourceEvent::Readable(is_readable));
        }
    }
}

/// Returns true if a reason names a topic as a word of its own: one name may contain another.
fn names(reason: &str, topic: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    reason
        .match_indices(topic)
        .any(|(at, _)| !reason[..at].ends_with(is_part) && !reason[at + topic.len()..].starts_with(is_part))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn topic_is_named_as_a_word_of_its_own() {
        let reason = "Subscribed topic not available: a.video: Broker: Topic authorization failed";
        assert!(names(reason, "a.video"));
        assert!(!names(reason, "video") && !names(reason, "a") && !names(reason, "a.vid"));
    }
}
