//! Presence of inputs of which this process has no partition. A group revokes the partitions of a deleted topic like any others.
//! librdkafka may report no more than that, because it asks nothing about a topic of which it has no partitions.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::offset_query::OffsetQuery;
use crate::admin::TopicState;

/// The pause between a revocation and the first query.
const FIRST: Duration = Duration::from_secs(2);
/// The interval of queries while a topic is missing.
const MISSING: Duration = Duration::from_secs(5);
/// The longest interval while all topics are present. A process beyond the number of partitions never has any.
const LONGEST: Duration = Duration::from_secs(60);
/// The limit for an answer.
pub(super) const WITHIN: Duration = Duration::from_secs(3);

/// The inputs without partitions, and the answers of the brokers about them.
#[derive(Default)]
pub(super) struct Presence {
    pub(super) unread: Vec<String>,
    /// The time of the next query, and the pause before it.
    next: Option<(Instant, Duration)>,
    pub(super) query: Option<(Vec<String>, OffsetQuery<Vec<TopicState>>)>,
    /// Topics that were reported as missing or hidden.
    pub(super) reported: BTreeSet<String>,
}

impl Presence {
    /// Takes the topics without partitions, and returns true if a query about them is due.
    pub(super) fn is_due(&mut self, unread: Vec<String>, now: Instant) -> bool {
        if self.unread != unread {
            self.next = (!unread.is_empty()).then_some((now + FIRST, FIRST));
            self.unread = unread;
        }
        self.next.is_some_and(|(at, _)| now >= at)
    }

    /// Sets the time of the next query.
    pub(super) fn answered(&mut self, all_are_there: bool, now: Instant) {
        if let Some((at, pause)) = &mut self.next {
            *pause = if all_are_there { (*pause * 2).min(LONGEST) } else { MISSING };
            *at = now + *pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_asks_soon_after_a_revocation_and_then_less_often() {
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
