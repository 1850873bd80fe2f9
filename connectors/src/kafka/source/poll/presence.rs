//! Whether inputs of which this process has no partition are there at all. A group takes the partitions of a deleted topic away as it
//! takes any, and librdkafka may say no more than that: without partitions of a topic it asks nothing about it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Poller;
use super::group::Step;
use super::offset_query::OffsetQuery;
use crate::kafka::admin::{self, Found};
use crate::kafka::diagnosis;

/// How long after partitions have gone the brokers are asked first.
const FIRST: Duration = Duration::from_secs(2);
/// How often at most while a topic is missing.
const MISSING: Duration = Duration::from_secs(5);
/// How throttle at least while all is well: a process more than there are partitions has none for as long as it runs.
const THROTTLE: Duration = Duration::from_secs(60);
/// How long the brokers have to answer.
const WITHIN: Duration = Duration::from_secs(3);

/// The inputs without partitions, and what the brokers say of them.
#[derive(Default)]
pub(super) struct Presence {
    unread: Vec<String>,
    ask: Option<(Instant, Duration)>,
    asked: Option<(Vec<String>, OffsetQuery<Vec<Found>>)>,
    /// Topics that were reported as missing or hidden.
    reported: BTreeSet<String>,
}

impl Presence {
    /// Notes the topics without partitions. Says whether it is time to ask about them.
    fn is_due(&mut self, unread: Vec<String>, now: Instant) -> bool {
        if self.unread != unread {
            self.ask = (!unread.is_empty()).then_some((now + FIRST, FIRST));
            self.unread = unread;
        }
        self.ask.is_some_and(|(at, _)| now >= at)
    }

    /// Sets when to ask again.
    fn answered(&mut self, all_are_there: bool, now: Instant) {
        if let Some((at, pause)) = &mut self.ask {
            *pause = if all_are_there { (*pause * 2).min(THROTTLE) } else { MISSING };
            *at = now + *pause;
        }
    }
}

impl Poller {
    /// Looks, once a second, whether an input without partitions has been deleted or hidden.
    pub(super) fn watch_presence(&mut self) {
        if !matches!(self.step, Step::Settled) || !self.standing.is_connected() {
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
            self.standing.reads(&topic);
        }
        if self.presence.is_due(unread, now) && self.presence.asked.is_none() {
            let (spec, topics) = (self.join.spec.clone(), self.presence.unread.clone());
            let asked = topics.clone();
            let lookup = OffsetQuery::start("kafka-presence", &self.wake, move || {
                let names: Vec<&str> = topics.iter().map(String::as_str).collect();
                admin::find(&spec.brokers, &spec.consumer, &names, WITHIN)
                    .map_err(|error| lockstep_engine::condition::Cause::passing(error.to_string(), ""))
            });
            self.presence.asked = Some((asked, lookup));
        }
        let Some(answer) = self.presence.asked.as_ref().and_then(|(_, lookup)| lookup.answer()) else {
            return;
        };
        let Some((topics, _)) = self.presence.asked.take() else { return };
        // Brokers that do not answer are the connection's affair.
        let Ok(found) = answer else { return };
        for (topic, found) in
            topics.iter().zip(&found).filter(|(topic, _)| self.presence.unread.contains(topic))
        {
            let cause = match found {
                Found::Partitions(_) => {
                    if self.presence.reported.remove(topic) {
                        self.standing.reads(topic);
                    }
                    continue;
                }
                Found::Missing => diagnosis::absent(topic, "READ"),
                Found::Hidden => diagnosis::lacks("DESCRIBE", &format!("topic {topic}")),
            };
            self.presence.reported.insert(topic.clone());
            self.standing.cannot_read(topic, cause);
        }
        self.presence.answered(self.presence.reported.is_empty(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_asks_soon_after_partitions_have_gone_and_seldom_while_all_is_well() {
        let (mut presence, start) = (Presence::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let gone = || vec!["video".to_owned()];
        assert!(!presence.is_due(Vec::new(), at(0)));
        assert!(!presence.is_due(gone(), at(10)) && !presence.is_due(gone(), at(11)));
        assert!(presence.is_due(gone(), at(12)));
        presence.answered(true, at(12));
        assert!(!presence.is_due(gone(), at(15)) && presence.is_due(gone(), at(16)));
        for _ in 0..10 {
            presence.answered(true, at(20));
        }
        assert!(!presence.is_due(gone(), at(79)) && presence.is_due(gone(), at(80)));
        presence.answered(false, at(80));
        assert!(presence.is_due(gone(), at(85)), "a missing topic may be made again");
        assert!(!presence.is_due(Vec::new(), at(86)));
        assert!(!presence.is_due(gone(), at(87)) && presence.is_due(gone(), at(89)));
    }
}
