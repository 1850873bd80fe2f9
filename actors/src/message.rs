//! The message types of all stages, one file a stage. Stages import these and never one another.

mod align;
mod batch;
mod ingest;
mod instance;
mod prepare;
mod publish;

pub use align::{AlignMessage, ShardMove};
pub use batch::{BatchMessage, LoadError, PoolChange};
pub use ingest::IngestMessage;
pub use instance::{Batch, Order};
pub use prepare::{BatchRow, QueuedRow};
pub use publish::{
    AdmittedBundle, Aligned, EvictedSample, FailedBundle, Faulty, FaultySample, LateSample,
    PartitionAssignment, PublishMessage, ReleasedRecord, Revocation, RevokedPartition, ShedReport, Unread,
};
