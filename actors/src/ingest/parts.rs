//! The parts of the ingest stage.

use std::sync::Arc;

use lockstep_engine::budget::Budget;
use lockstep_engine::infer::changelog::RestoredStates;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::clock::IntakeClock;
use lockstep_engine::ingest::gate::Gate;
use lockstep_engine::ingest::source::SourceControl;
use lockstep_engine::ingest::until::EndOffsets;
use parking_lot::Mutex;

use super::shards::Shards;
use crate::load::Load;
use crate::mailbox::Mailbox;
use crate::message::PublishMessage;
use crate::status::Status;

/// The parts of the ingest stage.
pub struct IngestParts {
    /// The inputs of the pipeline.
    pub inputs: Arc<[InputSpec]>,
    /// The shards of the align stage.
    pub shards: Shards,
    /// The publish actor, which keeps the ledger.
    pub publish: Mailbox<PublishMessage>,
    /// The source. It is set once it has started; the source needs this actor's mailbox first.
    pub control: Arc<Mutex<Option<Arc<dyn SourceControl>>>>,
    /// The byte budget against which samples count.
    pub budget: Budget,
    /// The gate, which pauses partitions when the budget is spent.
    pub gate: Gate,
    /// The clock by which the shards wait for samples.
    pub clock: Arc<Mutex<IntakeClock>>,
    /// The meter of the load.
    pub load: Load,
    /// Stream state that was restored from before the partitions came to this process.
    pub restored: Arc<Mutex<RestoredStates>>,
    /// The end of reading, if the pipeline ends by itself.
    pub until: Option<EndOffsets>,
    /// The pipeline's health.
    pub status: Arc<Status>,
}
