//! The end of a pipeline.

/// The end of a pipeline that was stopped or has read everything.
#[derive(Debug, PartialEq, Eq)]
pub enum PipelineEnd {
    /// In order: every consumed record has ended and is committed.
    InOrder,
    /// Cut short by the deadline or a failure. Records that had not ended are not committed and will be read again.
    CutShort(String),
}

/// The failure of a pipeline.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The pipeline did not start.
    #[error("{0}")]
    Start(String),
    /// The pipeline failed while it ran. A new one may overcome the failure.
    #[error("{0}")]
    Failed(String),
    /// The pipeline failed while it ran, and a new one would fail as well.
    #[error("{0}")]
    Final(String),
}
