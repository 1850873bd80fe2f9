//! Reports of actors and instances that cannot go on.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::status::Status;

/// A failure that ends its pipeline, by the action that follows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineFailure {
    /// The supervisor starts a new pipeline, which begins at the committed offsets and may overcome the failure.
    #[error("{0}")]
    Restart(String),
    /// The process ends, because a new pipeline would fail as well.
    #[error("{0}")]
    Final(String),
}

impl PipelineFailure {
    /// The same failure with the actor before the reason.
    fn of(self, who: &str) -> Self {
        match self {
            Self::Restart(why) => Self::Restart(format!("{who}: {why}")),
            Self::Final(why) => Self::Final(format!("{who}: {why}")),
        }
    }
}

/// Receives the reports of actors that cannot go on.
#[derive(Clone)]
pub struct Failures {
    reports: mpsc::Sender<PipelineFailure>,
    status: Arc<Status>,
    /// The number of the pipeline to which the actors belong.
    pipeline: u64,
}

impl Failures {
    /// Creates the two ends of the channel of reports.
    pub(crate) fn new(status: Arc<Status>) -> (Self, mpsc::Receiver<PipelineFailure>) {
        // The first report ends the pipeline, so the channel can be short.
        let (reports, failed) = mpsc::channel(16);
        let pipeline = status.pipeline();
        (Self { reports, status, pipeline }, failed)
    }

    /// Reports a failure of an actor. The first report ends this pipeline; reports that do not fit are only logged.
    pub fn report(&self, who: &str, failure: PipelineFailure) {
        let why = failure.to_string();
        tracing::error!(actor = who, why, "actor failed");
        self.failed(who, &why);
        let _ = self.reports.try_send(failure.of(who));
    }

    /// Sets an actor's state to starting. Once the pipeline has been replaced, this and the next three methods do nothing: a late
    /// actor of the old pipeline would never be ready again.
    pub(crate) fn starting(&self, who: &str) {
        if self.is_present() {
            self.status.starting(who);
        }
    }

    /// Sets an actor's state to running.
    pub(crate) fn running(&self, who: &str) {
        if self.is_present() {
            self.status.running(who);
        }
    }

    /// Sets an actor's state to failed, until it or the pipeline restarts.
    pub(crate) fn failed(&self, who: &str, why: &str) {
        if self.is_present() {
            self.status.failed(who, why);
        }
    }

    /// Removes an instance that has ended as ordered.
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
