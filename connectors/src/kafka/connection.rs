//! What a client has said of its connections to the brokers, and whether any of them works.

use std::sync::Arc;
use std::time::Instant;

use lockstep_engine::condition::{Cause, Conditions, Work};
use rdkafka::error::RDKafkaErrorCode;

use super::diagnosis;
use super::seldom::Seldom;
use super::statistics::Statistics;

/// The connections of one client.
pub(super) struct Connection {
    /// Which client it is, as conditions name it.
    client: &'static str,
    conditions: Arc<dyn Conditions>,
    is_up: bool,
    /// What was said since a connection last worked.
    last: Option<Cause>,
    seldom: Seldom,
}

impl Connection {
    pub(super) fn new(client: &'static str, conditions: Arc<dyn Conditions>) -> Self {
        Self { client, conditions, is_up: false, last: None, seldom: Seldom::default() }
    }

    /// Takes an error about connections. While another works it is said alone: the work goes on.
    pub(super) fn error(&mut self, code: Option<RDKafkaErrorCode>, reason: &str, now: Instant) {
        // A broker may close what is idle; only when connecting again fails is something wrong.
        if reason.contains("in state UP") && reason.contains("isconnected") {
            return;
        }
        let cause = diagnosis::cause(code, reason);
        if self.is_up {
            if let Some(repeated) = self.seldom.tell(&cause.what, now) {
                let Cause { what, remedy, .. } = &cause;
                tracing::warn!(
                    client = self.client,
                    cause = what,
                    remedy,
                    repeated,
                    "a broker cannot be reached"
                );
            }
            return;
        }
        // What says more stays: that all brokers are down says nothing of why.
        let says_less = |last: &Cause| diagnosis::is_summary(code) || (last.lasts && !cause.lasts);
        if !self.last.as_ref().is_some_and(says_less) {
            self.last = Some(cause);
        }
        self.report();
    }

    /// Looks at what the client says of itself. One that `must_connect` and does not is in trouble, whether it says so or not.
    pub(super) fn look(&mut self, statistics: &Statistics, must_connect: bool) {
        self.is_up = statistics.is_connected();
        if self.is_up {
            self.last = None;
            self.conditions.done(Work::Connect, self.client);
        } else if self.last.is_some() || must_connect {
            self.report();
        }
    }

    /// Whether a connection works.
    pub(super) fn is_up(&self) -> bool {
        self.is_up
    }

    fn report(&self) {
        let silent = || Cause::passing("no broker answers", "see that they run and can be reached");
        let cause = self.last.clone().unwrap_or_else(silent);
        self.conditions.report(Work::Connect, self.client, cause);
    }
}
