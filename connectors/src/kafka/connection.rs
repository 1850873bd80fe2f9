//! What a client has said of its connections to the brokers, and whether any of them works.

use std::sync::Arc;
use std::time::Instant;

use lockstep_engine::condition::{Cause, Conditions, Work};
use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;

use super::diagnosis;
use super::inquiry::{self, Doubt, Inquiry};
use super::log_throttle::LogThrottle;
use super::statistics::Statistics;

/// The connections of one client.
pub(super) struct Connection {
    /// Which client it is, as conditions name it.
    client: &'static str,
    conditions: Arc<dyn Conditions>,
    is_up: bool,
    /// What was said since a connection last worked.
    last: Option<Cause>,
    inquiry: Inquiry,
    /// What was found out since then.
    found: Arc<Mutex<Found>>,
    throttle: LogThrottle,
}

#[derive(Default)]
struct Found {
    is_asked: bool,
    cause: Option<Cause>,
}

impl Connection {
    pub(super) fn new(client: &'static str, conditions: Arc<dyn Conditions>, inquiry: Inquiry) -> Self {
        let (last, found, throttle) = (None, Arc::default(), LogThrottle::default());
        Self { client, conditions, is_up: false, last, inquiry, found, throttle }
    }

    /// Takes an error about connections. While another works it is said alone: the work goes on.
    pub(super) fn error(&mut self, code: Option<RDKafkaErrorCode>, reason: &str, now: Instant) {
        // A broker may close what is idle; only when connecting again fails is something wrong.
        if reason.contains("in state UP") && reason.contains("isconnected") {
            return;
        }
        let cause = diagnosis::cause(code, reason);
        if self.is_up {
            if !diagnosis::is_summary(code)
                && let Some(repeated) = self.throttle.tell(&cause.what, now)
            {
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
            if let Some(doubt) = inquiry::doubt(code, reason) {
                self.inquire(doubt, reason);
            }
        }
        self.report();
    }

    /// Finds out, on a thread of its own, what the client does not say.
    fn inquire(&self, doubt: Doubt, reason: &str) {
        if std::mem::replace(&mut self.found.lock().is_asked, true) {
            return;
        }
        let (inquiry, found, reason) = (self.inquiry.clone(), self.found.clone(), reason.to_owned());
        let (conditions, client) = (self.conditions.clone(), self.client);
        let ask = move || {
            let cause = inquiry.find(doubt, &reason);
            let mut found = found.lock();
            // A connection has worked meanwhile.
            if !found.is_asked {
                return;
            }
            found.is_asked = cause.is_some();
            if let Some(cause) = cause {
                found.cause = Some(cause.clone());
                conditions.report(Work::Connect, client, cause);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("kafka-inquiry".into()).spawn(ask) {
            tracing::debug!(%error, "no thread to find out why brokers cannot be reached");
        }
    }

    /// Looks at what the client says of itself. One that `must_connect` and does not is in trouble, whether it says so or not.
    pub(super) fn look(&mut self, statistics: &Statistics, must_connect: bool) {
        self.is_up = statistics.is_connected();
        if self.is_up {
            if self.last.take().is_some() {
                *self.found.lock() = Found::default();
            }
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
        let found = self.found.lock();
        let silent = || Cause::passing("no broker answers", "see that they run and can be reached");
        let cause = match (&found.cause, &self.last) {
            (Some(found), _) => found.clone(),
            // Until it is known what exactly it is, it is not said for good.
            (None, Some(last)) if found.is_asked => Cause { lasts: false, ..last.clone() },
            (None, last) => last.clone().unwrap_or_else(silent),
        };
        drop(found);
        self.conditions.report(Work::Connect, self.client, cause);
    }
}
