//! The conditions that keep the source from reading and committing, and the difference between a silent and an unreadable input.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_engine::condition::{Cause, Conditions, Work};

use crate::connection::Connection;
use crate::inquiry::Inquiry;
use crate::throttling::Throttling;

/// The subject of conditions about the group.
pub(super) const GROUP: &str = "group";
/// The subject of conditions about the offsets at which reading begins.
const OFFSETS: &str = "offsets";

/// The conditions of the source.
pub(super) struct SourceConditions {
    pub(super) reports: Arc<dyn Conditions>,
    pub(super) connection: Connection,
    pub(super) throttling: Throttling,
    /// Topics that cannot be read, as the client has reported.
    pub(super) unreadable: BTreeMap<String, UnreadableTopic>,
    /// Partitions without a leader that answers.
    pub(super) unreachable: BTreeMap<(String, i32), ()>,
    /// The last state that the pipeline received.
    pub(super) is_readable: bool,
}

/// A topic that cannot be read. librdkafka reports that once, and never that the topic can be read again. So the poll thread tries:
/// it assigns the partitions again at their offsets.
pub(super) struct UnreadableTopic {
    reported_at: Instant,
    tried_at: Option<Instant>,
}

/// The pause before an unreadable topic is tried again.
const TRY_AFTER: Duration = Duration::from_secs(5);
/// The time without a new error after which the trial has succeeded.
const READS_AFTER: Duration = Duration::from_secs(3);

impl SourceConditions {
    pub(super) fn new(conditions: Arc<dyn Conditions>, inquiry: Inquiry) -> Self {
        Self {
            connection: Connection::new("consumer", conditions.clone(), inquiry),
            reports: conditions,
            throttling: Throttling::of_consumer(),
            unreadable: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            is_readable: true,
        }
    }

    /// Ends the condition of a topic whose records arrive.
    pub(super) fn reads(&mut self, topic: &str) {
        if !self.unreadable.is_empty() && self.unreadable.remove(topic).is_some() {
            self.reports.done(Work::Read, topic);
        }
    }

    pub(super) fn cannot_read(&mut self, topic: &str, cause: Cause) {
        self.unreadable
            .insert(topic.to_owned(), UnreadableTopic { reported_at: Instant::now(), tried_at: None });
        self.reports.report(Work::Read, topic, cause);
    }

    /// Returns true if an unreadable topic is due for a trial. A topic that was tried, and brought no new error, is readable.
    pub(super) fn is_due_for_trial(&mut self, topic: &str, now: Instant) -> bool {
        let Some(unreadable) = self.unreadable.get_mut(topic) else { return false };
        match unreadable.tried_at {
            Some(tried_at) if now.duration_since(tried_at) >= READS_AFTER => {
                self.reads(topic);
                false
            }
            Some(_) => false,
            None => {
                let is_time = now.duration_since(unreadable.reported_at) >= TRY_AFTER;
                unreadable.tried_at = is_time.then_some(now);
                is_time
            }
        }
    }

    /// Returns true if the client is connected to a broker.
    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_up()
    }

    pub(super) fn cannot_begin(&self, cause: Cause) {
        self.reports.report(Work::Read, OFFSETS, cause);
    }

    pub(super) fn begins(&self) {
        self.reports.done(Work::Read, OFFSETS);
    }

    pub(super) fn cannot_commit(&self, cause: Cause) {
        self.reports.report(Work::Commit, "", cause);
    }

    pub(super) fn commits(&self) {
        self.reports.done(Work::Commit, "");
    }
}
