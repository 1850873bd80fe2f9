//! What can be known and asked of a pipeline while it runs.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use lockstep_actors::{Status, Stop};
use lockstep_engine::time::Timestamp;

use lockstep_assemble::Failure;

/// The longest wait for a result.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pipeline that runs.
pub(super) struct Live<'a> {
    /// The event times of results as they are acknowledged, where spans are asked for.
    pub(super) told: &'a Receiver<Timestamp>,
    pub(super) status: &'a Status,
    /// Says whether to go on.
    pub(super) stop: &'a Stop,
}

impl Live<'_> {
    /// Waits for the next result. Whether there is one: else the pipeline has ended.
    pub(super) fn has_result(&self) -> Result<bool, Failure> {
        match self.told.recv_timeout(PATIENCE) {
            Ok(_) => Ok(true),
            Err(RecvTimeoutError::Timeout) => Err("no result came within 30 s".into()),
            Err(RecvTimeoutError::Disconnected) => Ok(false),
        }
    }
}
