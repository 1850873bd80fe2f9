//! What the ingest actor is made of.

use std::sync::Arc;

use lockstep_engine::budget::Budget;
use lockstep_engine::infer::changelog::Restored;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::clock::IntakeClock;
use lockstep_engine::ingest::gate::Gate;
use lockstep_engine::ingest::source::SourceControl;
use lockstep_engine::ingest::until::Ends;
use parking_lot::Mutex;

use super::Shards;
use crate::autoscaler::Load;
use crate::mailbox::Mailbox;
use crate::publish::PublishMessage;
use crate::status::Status;

/// What the ingest actor is made of.
pub struct IngestParts {
    /// The inputs of the pipeline.
    pub inputs: Arc<[InputSpec]>,
    /// The sync actors.
    pub shards: Shards,
    /// Who keeps the ledger.
    pub publish: Mailbox<PublishMessage>,
    /// The source, filled in when it has started, which needs the link to this actor first.
    pub control: Arc<Mutex<Option<Arc<dyn SourceControl>>>>,
    /// What samples count against.
    pub budget: Budget,
    /// Who pauses when that is spent.
    pub gate: Gate,
    /// By which the sync actors wait for samples.
    pub clock: Arc<Mutex<IntakeClock>>,
    /// Where the load is counted.
    pub load: Load,
    /// What streams carried on before their partitions come here.
    pub restored: Arc<Mutex<Restored>>,
    /// Where to end, if it is to read up to there, and tell the sync actors that this was all.
    pub until: Option<Ends>,
    /// The pipeline's health.
    pub status: Arc<Status>,
}
