//! The end of a pipeline.

use crate::failure::PipelineFailure;

/// The end of a pipeline that was stopped or has read everything.
#[derive(Debug, PartialEq, Eq)]
pub enum PipelineEnd {
    /// In order: every consumed record has ended and is committed.
    InOrder,
    /// Cut short by the deadline or a failure. Records that had not ended are not committed and will be read again.
    CutShort(String),
}

/// The reason why a pipeline did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The pipeline was stopped while its models were loading.
    #[error("stopped while the models were loading")]
    Stopped,
    /// The source, the sink, a step or a model could not be started. If it is the process's first pipeline, the supervisor gives
    /// up: settings or files are at fault.
    #[error("{0}")]
    Failed(String),
}

/// The end of a pipeline that did not start or that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// The pipeline did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The pipeline failed while it ran.
    #[error(transparent)]
    Failed(#[from] PipelineFailure),
}
