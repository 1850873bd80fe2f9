//! How the source stands: what keeps it from reading and committing, as conditions, and whether its inputs are silent or cannot be
//! read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_engine::condition::{Cause, Conditions, Work};
use lockstep_engine::ingest::source::SourceEvent;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::group::Step;
use super::{Partition, Poller};
use crate::kafka::connection::Connection;
use crate::kafka::diagnosis;
use crate::kafka::inquiry::Inquiry;
use crate::kafka::statistics::{Group, Statistics};
use crate::kafka::throttling::Throttling;

/// What conditions name that are about the group.
const GROUP: &str = "group";
/// What conditions name that are about where reading begins.
const POSITIONS: &str = "positions";

/// What keeps the source from its work.
pub(super) struct Standing {
    conditions: Arc<dyn Conditions>,
    connection: Connection,
    throttling: Throttling,
    /// Topics that cannot be read, as the client has said.
    unreadable: BTreeMap<String, Refused>,
    /// Partitions whose leader is away.
    unreachable: BTreeMap<(String, i32), ()>,
    /// What the pipeline was told last.
    is_readable: bool,
}

/// A topic that cannot be read. librdkafka says so once, and nothing when it can be read again: it is tried by reading anew from where
/// its partitions stand.
struct Refused {
    said_at: Instant,
    tried_at: Option<Instant>,
}

/// How soon a topic that could not be read is tried again, and when that counts as having succeeded.
const TRY_AFTER: Duration = Duration::from_secs(5);
const READS_AFTER: Duration = Duration::from_secs(3);

impl Standing {
    pub(super) fn new(conditions: Arc<dyn Conditions>, inquiry: Inquiry) -> Self {
        Self {
            connection: Connection::new("consumer", conditions.clone(), inquiry),
            conditions,
            throttling: Throttling::of_consumer(),
            unreadable: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            is_readable: true,
        }
    }

    /// Records of a topic have come.
    pub(super) fn reads(&mut self, topic: &str) {
        if !self.unreadable.is_empty() && self.unreadable.remove(topic).is_some() {
            self.conditions.done(Work::Read, topic);
        }
    }

    pub(super) fn cannot_read(&mut self, topic: &str, cause: Cause) {
        self.unreadable.insert(topic.to_owned(), Refused { said_at: Instant::now(), tried_at: None });
        self.conditions.report(Work::Read, topic, cause);
    }

    /// Whether a topic is to be tried again that could not be read. One that was tried, and of which nothing was said, can be.
    fn is_to_be_tried(&mut self, topic: &str, now: Instant) -> bool {
        let Some(refused) = self.unreadable.get_mut(topic) else { return false };
        match refused.tried_at {
            Some(tried_at) if now.duration_since(tried_at) >= READS_AFTER => {
                self.reads(topic);
                false
            }
            Some(_) => false,
            None => {
                let is_time = now.duration_since(refused.said_at) >= TRY_AFTER;
                refused.tried_at = is_time.then_some(now);
                is_time
            }
        }
    }

    /// Whether brokers are reached.
    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_up()
    }

    pub(super) fn cannot_begin(&self, cause: Cause) {
        self.conditions.report(Work::Read, POSITIONS, cause);
    }

    pub(super) fn begins(&self) {
        self.conditions.done(Work::Read, POSITIONS);
    }

    pub(super) fn cannot_commit(&self, cause: Cause) {
        self.conditions.report(Work::Commit, "", cause);
    }

    pub(super) fn commits(&self) {
        self.conditions.done(Work::Commit, "");
    }
}

impl Poller {
    /// Takes an error that is about no partition.
    pub(super) fn client_error(&mut self, code: Option<RDKafkaErrorCode>, reason: &str) {
        use RDKafkaErrorCode as Code;
        match code {
            // Handled where the partition is read. Its end is none.
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
                self.standing.cannot_read(named.as_deref().unwrap_or_default(), cause);
            }
            Some(Code::GroupAuthorizationFailed) => {
                let cause = diagnosis::lacks("READ", &format!("group {}", self.join.spec.group));
                self.standing.conditions.report(Work::Read, GROUP, cause);
            }
            Some(Code::UnreleasedInstanceId) => {
                let cause = self.join.name_is_held();
                self.standing.conditions.report(Work::Read, GROUP, cause);
            }
            code if diagnosis::is_of_connection(code) => {
                self.standing.connection.error(code, reason, Instant::now());
            }
            code => self.standing.conditions.report(Work::Read, "", diagnosis::cause(code, reason)),
        }
    }

    /// Takes an error of a partition that is being read.
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
        self.standing.cannot_read(topic, cause);
    }

    /// Looks, once a second, at what the client says of itself.
    pub(super) fn look_at(&mut self, statistics: &Statistics) {
        self.standing.connection.look(statistics, true);
        self.standing.throttling.look(statistics, Instant::now());
        if self.standing.connection.is_up() {
            self.standing.conditions.done(Work::Read, "");
            self.look_at_leaders(statistics);
            self.try_refused();
            if let Some(group) = &statistics.cgrp {
                self.look_at_group(group);
            }
        }
        self.look_at_commits();
        self.tell_readable();
    }

    fn look_at_leaders(&mut self, statistics: &Statistics) {
        let standing = &mut self.standing;
        let away = |p: &&Partition| !statistics.is_reachable(&p.topic, p.id.partition);
        let now: BTreeMap<(String, i32), ()> = self
            .partitions
            .iter()
            .filter(away)
            .map(|p| ((p.topic.to_string(), p.id.partition), ()))
            .collect();
        for (topic, number) in std::mem::replace(&mut standing.unreachable, now).into_keys() {
            if !standing.unreachable.contains_key(&(topic.clone(), number)) {
                standing.conditions.done(Work::Read, &format!("{topic}/{number}"));
            }
        }
        for (topic, number) in standing.unreachable.keys() {
            let cause = Cause::passing(
                format!("partition {number} of {topic} has no leader that answers"),
                "see that the brokers that have it run",
            );
            standing.conditions.report(Work::Read, &format!("{topic}/{number}"), cause);
        }
    }

    fn try_refused(&mut self) {
        let now = Instant::now();
        let topics: BTreeSet<Arc<str>> = self.partitions.iter().map(|p| p.topic.clone()).collect();
        let mut is_time = false;
        for topic in topics {
            is_time |= self.standing.is_to_be_tried(&topic, now);
        }
        if is_time {
            self.assign_again();
        }
    }

    fn look_at_group(&mut self, group: &Group) {
        let (Group { state, join_state }, name) = (group, &self.join.spec.group);
        let work = if self.owned.is_empty() { Work::Read } else { Work::Commit };
        let cause = if state != "up" {
            Some(Cause::passing(
                format!("group {name} has no coordinator"),
                "where that lasts, see that the brokers can make the topic __consumer_offsets and that it has its replicas \
                 (offsets.topic.replication.factor)",
            ))
        } else if join_state != "steady" && self.owned.is_empty() && matches!(self.step, Step::Settled) {
            Some(Cause::passing(
                format!("group {name} shares its partitions out"),
                "a member that does not answer holds this up",
            ))
        } else {
            None
        };
        let other = if work == Work::Read { Work::Commit } else { Work::Read };
        self.standing.conditions.done(other, GROUP);
        match cause {
            Some(cause) => self.standing.conditions.report(work, GROUP, cause),
            None => self.standing.conditions.done(work, GROUP),
        }
    }

    fn look_at_commits(&mut self) {
        if self.commits.is_unanswered(Instant::now()) {
            let cause =
                Cause::passing("the brokers do not answer a commit", "see that the group's coordinator runs");
            self.standing.cannot_commit(cause);
        }
    }

    /// Whether an input is silent or cannot be read is not the same: nobody may go on without it.
    pub(super) fn tell_readable(&mut self) {
        let standing = &mut self.standing;
        let is_readable =
            standing.connection.is_up() && standing.unreadable.is_empty() && standing.unreachable.is_empty();
        if std::mem::replace(&mut standing.is_readable, is_readable) != is_readable {
            self.held.push_back(SourceEvent::Readable(is_readable));
        }
    }
}

/// Whether a reason names a topic: as a word of its own, since names may contain one another.
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
