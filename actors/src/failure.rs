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
}

impl Failures {
    /// The two ends of where reports go.
    pub(crate) fn new(status: Arc<Status>) -> (Self, mpsc::Receiver<(String, Remedy)>) {
        // The first ends the pipeline, so there need not be room for many.
        let (reports, failed) = mpsc::channel(16);
        (Self { reports, status }, failed)
    }

    /// Reports what a new pipeline may help against. The first report ends this one; more than fit are but
    /// logged.
    pub fn report(&self, who: &str, why: &str) {
        self.report_with(who, why, Remedy::Restart);
    }

    /// Reports, and says what helps.
    pub fn report_with(&self, who: &str, why: &str, remedy: Remedy) {
        tracing::error!(actor = who, "{why}");
        self.status.failed(who, why);
        let _ = self.reports.try_send((format!("{who}: {why}"), remedy));
    }

    /// The pipeline's health.
    pub fn status(&self) -> &Status {
        &self.status
    }
}
