//! Watches for inputs that are deleted or hidden while this process has none of their partitions.

use std::time::Instant;

use super::Poller;
use super::offset_query::OffsetQuery;
use super::presence::WITHIN;
use super::step::RebalanceStep;
use crate::admin::{self, TopicState};
use crate::diagnosis;

impl Poller {
    /// Checks, once a second, for an input without partitions that was deleted or hidden.
    pub(super) fn watch_presence(&mut self) {
        if !matches!(self.step, RebalanceStep::Settled) || !self.conditions.is_connected() {
            return;
        }
        let now = Instant::now();
        let has_partitions = |topic: &str| self.partitions.iter().any(|partition| &*partition.topic == topic);
        let unread: Vec<String> =
            self.join.topics.iter().filter(|topic| !has_partitions(topic)).cloned().collect();
        let read_again: Vec<String> =
            self.presence.reported.iter().filter(|topic| !unread.contains(topic)).cloned().collect();
        for topic in read_again {
            self.presence.reported.remove(&topic);
            self.conditions.reads(&topic);
        }
        if self.presence.is_due(unread, now) && self.presence.query.is_none() {
            let (spec, topics) = (self.join.spec.clone(), self.presence.unread.clone());
            let queried = topics.clone();
            let query = OffsetQuery::start("kafka-presence", &self.wake, move || {
                let names: Vec<&str> = topics.iter().map(String::as_str).collect();
                admin::find(&spec.brokers, &spec.consumer, &names, WITHIN)
                    .map_err(|error| lockstep_engine::condition::Cause::passing(error.to_string(), ""))
            });
            self.presence.query = Some((queried, query));
        }
        let Some(answer) = self.presence.query.as_ref().and_then(|(_, query)| query.answer()) else {
            return;
        };
        let Some((topics, _)) = self.presence.query.take() else { return };
        // The connection reports brokers that do not answer.
        let Ok(found) = answer else { return };
        for (topic, found) in
            topics.iter().zip(&found).filter(|(topic, _)| self.presence.unread.contains(topic))
        {
            let cause = match found {
                TopicState::Partitions(_) => {
                    if self.presence.reported.remove(topic) {
                        self.conditions.reads(topic);
                    }
                    continue;
                }
                TopicState::Missing => diagnosis::absent(topic, "READ"),
                TopicState::Hidden => diagnosis::lacks("DESCRIBE", &format!("topic {topic}")),
            };
            self.presence.reported.insert(topic.clone());
            self.conditions.cannot_read(topic, cause);
        }
        self.presence.answered(self.presence.reported.is_empty(), now);
    }
}
