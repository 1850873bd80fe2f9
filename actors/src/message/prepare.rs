//! The bundles that the batch stage passes to the prepare stage.

use std::sync::Arc;

use lockstep_engine::batch::Batchable;
use lockstep_engine::infer::job::Job;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::time::Timestamp;

use crate::mailbox::Credit;

/// A bundle in a batch queue.
pub struct QueuedBundle {
    /// The bundle.
    pub job: Arc<Job>,
    /// The time from which the bundle had everything that the step needs.
    pub ready_at: Timestamp,
    /// The credit of the message that brought the bundle. All bundles of that message share it.
    pub credit: Option<Arc<Credit>>,
}

impl Batchable for QueuedBundle {
    fn stream(&self) -> &StreamKey {
        &self.job.bundle.stream
    }

    fn event_time(&self) -> Timestamp {
        self.job.bundle.event_time
    }
}
