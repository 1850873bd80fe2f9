//! The connections of a client to the brokers, as the condition `connect`.

use std::sync::Arc;
use std::time::Instant;

use lockstep_engine::condition::{Cause, Conditions, Work};
use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;

use super::diagnosis;
use super::inquiry::{self, Doubt, Inquiry};
use super::log_throttle::LogThrottle;
use super::statistics::ClientStatistics;

/// The connections of one client.
pub(super) struct Connection {
    /// The name of the client in conditions.
    client: &'static str,
    conditions: Arc<dyn Conditions>,
    is_up: bool,
    /// The last cause since a connection worked.
    last: Option<Cause>,
    inquiry: Inquiry,
    /// The outcome of the inquiry since then.
    found: Arc<Mutex<InquiryOutcome>>,
    throttle: LogThrottle,
}

#[derive(Default)]
struct InquiryOutcome {
    /// An inquiry is running, or has found a cause.
    is_started: bool,
    cause: Option<Cause>,
}

impl Connection {
    pub(super) fn new(client: &'static str, conditions: Arc<dyn Conditions>, inquiry: Inquiry) -> Self {
        let (last, found, throttle) = (None, Arc::default(), LogThrottle::default());
        Self { client, conditions, is_up: false, last, inquiry, found, throttle }
    }

    /// Takes an error about a connection. While another connection works, it is only logged, because the work goes on.
    pub(super) fn error(&mut self, code: Option<RDKafkaErrorCode>, reason: &str, now: Instant) {
        // A broker may close an idle connection. Only a failed reconnect is a fault.
        if reason.contains("in state UP") && reason.contains("isconnected") {
            return;
        }
        let cause = diagnosis::cause(code, reason);
        if self.is_up {
            if !diagnosis::is_summary(code)
                && let Some(repeated) = self.throttle.admit(&cause.what, now)
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
        // The cause with more information stays: "all brokers are down" does not say why.
        let says_less = |last: &Cause| diagnosis::is_summary(code) || (last.lasts && !cause.lasts);
        if !self.last.as_ref().is_some_and(says_less) {
            self.last = Some(cause);
            if let Some(doubt) = inquiry::doubt(code, reason) {
                self.inquire(doubt, reason);
            }
        }
        self.report();
    }

    /// Starts a thread that asks the brokers for the cause that the client does not report.
    fn inquire(&self, doubt: Doubt, reason: &str) {
        if std::mem::replace(&mut self.found.lock().is_started, true) {
            return;
        }
        let (inquiry, found, reason) = (self.inquiry.clone(), self.found.clone(), reason.to_owned());
        let (conditions, client) = (self.conditions.clone(), self.client);
        let ask = move || {
            let cause = inquiry.find(doubt, &reason);
            let mut found = found.lock();
            // A connection has worked meanwhile.
            if !found.is_started {
                return;
            }
            found.is_started = cause.is_some();
            if let Some(cause) = cause {
                found.cause = Some(cause.clone());
                conditions.report(Work::Connect, client, cause);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("kafka-inquiry".into()).spawn(ask) {
            tracing::debug!(%error, "cannot start the thread that asks why brokers cannot be reached");
        }
    }

    /// Takes the statistics of the client. Without a connection, a client that `must_connect` gets the condition even without an error.
    pub(super) fn look(&mut self, statistics: &ClientStatistics, must_connect: bool) {
        self.is_up = statistics.is_connected();
        if self.is_up {
            if self.last.take().is_some() {
                *self.found.lock() = InquiryOutcome::default();
            }
            self.conditions.done(Work::Connect, self.client);
        } else if self.last.is_some() || must_connect {
            self.report();
        }
    }

    /// Returns true if a connection works.
    pub(super) fn is_up(&self) -> bool {
        self.is_up
    }

    fn report(&self) {
        let found = self.found.lock();
        let silent = || Cause::passing("no broker answers", "see that they run and can be reached");
        let cause = match (&found.cause, &self.last) {
            (Some(found), _) => found.clone(),
            // Not lasting until the inquiry has found the exact cause.
            (None, Some(last)) if found.is_started => Cause { lasts: false, ..last.clone() },
            (None, last) => last.clone().unwrap_or_else(silent),
        };
        drop(found);
        self.conditions.report(Work::Connect, self.client, cause);
    }
}
