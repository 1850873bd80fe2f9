//! The rows that the batch stage passes to the prepare stage.

use std::sync::Arc;

use lockstep_engine::batch::Batchable;
use lockstep_engine::infer::job::Job;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::time::Timestamp;

use crate::mailbox::Credit;

/// One row of a batch: a bundle, or one of its detections.
#[derive(Clone)]
pub struct BatchRow {
    /// The bundle.
    pub job: Arc<Job>,
    /// The number of the row among those of the bundle at this step.
    pub number: usize,
    /// The time from which the bundle had everything that the step needs.
    pub ready_at: Timestamp,
}

/// A row in a batch queue.
pub struct QueuedRow {
    /// The row.
    pub row: BatchRow,
    /// The credit of the message that brought the bundle. All bundles of that message share it, and all their rows.
    pub credit: Option<Arc<Credit>>,
}

impl Batchable for QueuedRow {
    fn stream(&self) -> &StreamKey {
        &self.row.job.bundle.stream
    }

    fn event_time(&self) -> Timestamp {
        self.row.job.bundle.event_time
    }
}
