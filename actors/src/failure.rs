//! How actors and instances say that they cannot go on.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::status::Status;

/// What helps against a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A new pipeline, from the committed state on.
    Restart,
    /// Nothing that the process itself could do.
    None,
}

/// Where actors report that they cannot go on.
#[derive(Clone)]
pub struct Failures {
    reports: mpsc::Sender<(String, Remedy)>,
    status: Arc<Status>,
    /// Which pipeline its actors are of.
    pipeline: u64,
}

impl Failures {
    /// The two ends of where reports go.
    pub(crate) fn new(status: Arc<Status>) -> (Self, mpsc::Receiver<(String, Remedy)>) {
        // The first ends the pipeline, so there need not be room for many.
        let (reports, failed) = mpsc::channel(16);
        let pipeline = status.pipeline();
        (Self { reports, status, pipeline }, failed)
    }

    /// Reports what a new pipeline may help against. The first report ends this one; more than fit are but
    /// logged.
    pub fn report(&self, who: &str, why: &str) {
        self.report_with(who, why, Remedy::Restart);
    }

    /// Reports, and says what helps.
    pub fn report_with(&self, who: &str, why: &str, remedy: Remedy) {
        tracing::error!(actor = who, "{why}");
        self.failed(who, why);
        let _ = self.reports.try_send((format!("{who}: {why}"), remedy));
    }

    /// An actor or instance is being made ready. Of this and the next three nothing is noted once the pipeline has been
    /// replaced: those that come back late would never be ready again.
    pub(crate) fn starting(&self, who: &str) {
        if self.is_present() {
            self.status.starting(who);
        }
    }

    /// An actor or instance works.
    pub(crate) fn running(&self, who: &str) {
        if self.is_present() {
            self.status.running(who);
        }
    }

    /// An actor or instance has failed, and will be started again or with the pipeline.
    pub(crate) fn failed(&self, who: &str, why: &str) {
        if self.is_present() {
            self.status.failed(who, why);
        }
    }

    /// An instance has ended, as it was to.
    pub(crate) fn ended(&self, who: &str) {
        if self.is_present() {
            self.status.ended(who);
        }
    }

    fn is_present(&self) -> bool {
        self.status.pipeline() == self.pipeline
    }

    /// The pipeline's health.
    pub fn status(&self) -> &Status {
        &self.status
    }
}
