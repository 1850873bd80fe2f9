//! The requests of the pipeline to the poll thread.

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use lockstep_engine::position::{Commit, PartitionId};

/// The requests that the poll thread has not served yet. A later request replaces an earlier one, so the number of partitions
/// bounds them.
#[derive(Default)]
pub(super) struct Requests {
    /// Partitions paused for lack of memory, and partitions paused because their completion map has no space left.
    pub(super) paused: [Vec<PartitionId>; 2],
    pub(super) paused_changed: bool,
    pub(super) commit: BTreeMap<PartitionId, Commit>,
    pub(super) stopped: bool,
    pub(super) close: Option<Close>,
}

/// A request to leave the group and end the thread.
pub(super) struct Close {
    pub(super) until: Instant,
    pub(super) done: SyncSender<Result<(), String>>,
}
