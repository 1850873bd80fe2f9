//! The topic settings that decide on the fate of a record written to it.

use std::time::Duration;

use crate::time::Timestamp;

/// Limits and retention of a topic. An unknown setting allows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicRules {
    /// The largest batch in bytes: `max.message.bytes`, or `segment.bytes` if that is less.
    pub max_batch: Option<usize>,
    /// `cleanup.policy` contains `compact`: the broker refuses records without a key, and keeps the latest of each key.
    pub is_compacted: bool,
    /// The retention by timestamp (`retention.ms`); `None` for ever.
    pub retention: Option<Duration>,
    /// The oldest timestamp accepted, relative to now (`message.timestamp.before.max.ms`).
    pub before_max: Option<Duration>,
    /// The latest timestamp accepted, relative to now (`message.timestamp.after.max.ms`).
    pub after_max: Option<Duration>,
    /// The broker stamps records itself (`message.timestamp.type`): the records' own timestamps do not matter.
    pub is_append_time: bool,
}

/// The use of a topic that a pipeline writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Results.
    Results,
    /// Dead letters.
    DeadLetters,
    /// Late, evicted and shed samples.
    Late,
    /// The state of streams.
    State,
}

impl TopicRules {
    /// Reads the rules from a topic's settings. A setting that cannot be parsed counts as absent.
    pub fn read<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut rules = Self::default();
        let mut deletes = true;
        let millis = |value: &str| value.parse().ok().map(Duration::from_millis);
        for (name, value) in settings {
            match name {
                "max.message.bytes" | "segment.bytes" => {
                    let smaller = |limit: usize| rules.max_batch.map_or(limit, |other| other.min(limit));
                    rules.max_batch = value.parse().ok().map(smaller).or(rules.max_batch);
                }
                "cleanup.policy" => {
                    rules.is_compacted = value.split(',').any(|policy| policy.trim() == "compact");
                    deletes = value.split(',').any(|policy| policy.trim() == "delete");
                }
                // -1 means for ever, and so does the largest number.
                "retention.ms" => rules.retention = millis(value),
                "message.timestamp.before.max.ms" => rules.before_max = millis(value),
                "message.timestamp.after.max.ms" => rules.after_max = millis(value),
                "message.timestamp.type" => rules.is_append_time = value == "LogAppendTime",
                _ => {}
            }
        }
        rules.retention = rules.retention.filter(|_| deletes);
        rules
    }

    /// True if a record of this many bytes, in a batch of its own, exceeds the topic's limit.
    pub fn is_too_large(&self, bytes: usize) -> bool {
        self.max_batch.is_some_and(|limit| bytes > limit)
    }

    /// True if the topic accepts a record with this timestamp and keeps it for at least half of the retention.
    pub fn keeps(&self, timestamp: Timestamp, now: Timestamp) -> bool {
        if self.is_append_time {
            return true;
        }
        let oldest = match (self.before_max, self.retention.map(|retention| retention / 2)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let within = |age: i64, most: Option<Duration>| {
            most.is_none_or(|most| u128::try_from(age).unwrap_or(0) <= most.as_nanos())
        };
        within(now.nanos_since(timestamp), oldest) && within(timestamp.nanos_since(now), self.after_max)
    }

    /// The reason why a topic cannot serve its purpose, with the remedy.
    pub fn problem(&self, topic: &str, purpose: Purpose) -> Option<String> {
        let key = match purpose {
            Purpose::DeadLetters => "dead_letters",
            Purpose::Late => "late",
            Purpose::Results | Purpose::State => return None,
        };
        self.is_compacted.then(|| {
            format!(
                "the topic {topic} is compacted (cleanup.policy), so that it refuses records without a key and keeps one of \
                 each key; set cleanup.policy=delete on it, or name another topic in results.{key}"
            )
        })
    }

    /// A behaviour of the topic that users may not expect, though the pipeline can write to it.
    pub fn note(
        &self,
        topic: &str,
        purpose: Purpose,
        largest_input: Option<(&str, usize)>,
    ) -> Option<String> {
        match (purpose, largest_input, self.max_batch) {
            (Purpose::Results, ..) if self.is_compacted => Some(format!(
                "the topic {topic} is compacted (cleanup.policy): of each stream the latest result stays"
            )),
            (Purpose::State, ..) if !self.is_compacted => Some(format!(
                "the topic {topic} is not compacted: the state of a stream is deleted with its retention; set \
                 cleanup.policy=compact on it"
            )),
            (Purpose::DeadLetters | Purpose::Late, Some((input, of_input)), Some(limit))
                if limit < of_input =>
            {
                Some(format!(
                    "the topic {topic} takes {limit} bytes (max.message.bytes) and the input {input} {of_input}: larger \
                     records go without their value; raise max.message.bytes of {topic}"
                ))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn keeps(settings: &[(&str, &str)], ago: i64) -> bool {
        let rules = TopicRules::read(settings.iter().copied());
        rules.keeps(Timestamp::from_millis(NOW - ago), Timestamp::from_millis(NOW))
    }

    #[test]
    fn limit_of_a_batch_is_the_smaller_of_message_and_segment() {
        let rules = TopicRules::read([("segment.bytes", "500"), ("max.message.bytes", "1000")]);
        assert_eq!(
            (rules.max_batch, rules.is_too_large(500), rules.is_too_large(501)),
            (Some(500), false, true)
        );
        assert!(!TopicRules::default().is_too_large(usize::MAX));
    }

    #[test]
    fn timestamps_are_kept_unless_refused_or_soon_deleted() {
        const FOR_EVER: (&str, &str) = ("message.timestamp.before.max.ms", "9223372036854775807");
        let deleted = [("cleanup.policy", "delete"), ("retention.ms", "1000"), FOR_EVER];
        assert!(keeps(&deleted, 500) && !keeps(&deleted, 501) && keeps(&deleted, -9_000_000));
        let compacted = [("cleanup.policy", "compact"), ("retention.ms", "1000")];
        assert!(keeps(&compacted, 9_000_000), "a topic that is only compacted is not deleted by time");
        assert!(keeps(&[("retention.ms", "-1"), FOR_EVER], NOW));
        let bounded = [("message.timestamp.before.max.ms", "10"), ("message.timestamp.after.max.ms", "20")];
        for (ago, kept) in [(10, true), (11, false), (-20, true), (-21, false)] {
            assert_eq!(keeps(&bounded, ago), kept, "{ago}");
        }
        let stamped = [bounded[0], ("message.timestamp.type", "LogAppendTime"), ("retention.ms", "1")];
        assert!(keeps(&stamped, NOW));
    }

    #[test]
    fn compacted_topic_cannot_hold_dead_letters() {
        let rules = TopicRules::read([("cleanup.policy", "compact,delete")]);
        for purpose in [Purpose::DeadLetters, Purpose::Late] {
            let problem = rules.problem("x", purpose).unwrap_or_default();
            assert!(problem.contains("cleanup.policy=delete"), "{problem}");
        }
        assert_eq!((rules.problem("x", Purpose::Results), rules.problem("x", Purpose::State)), (None, None));
        assert!(
            rules.note("x", Purpose::Results, None).is_some()
                && rules.note("x", Purpose::State, None).is_none()
        );
    }

    #[test]
    fn smaller_limit_of_dead_letters_than_of_inputs_is_noted() {
        let rules = TopicRules::read([("max.message.bytes", "20000")]);
        let note = |of_input| rules.note("dead", Purpose::DeadLetters, Some(("in", of_input)));
        assert!(note(20_000).is_none() && note(20_001).is_some_and(|note| note.contains("20000")));
    }
}
