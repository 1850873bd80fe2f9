//! The stages of the engine as actors. A stage actor adds what the rules leave out: bounded mailboxes, time, threads, and
//! stall detection.
//!
//! Read [`mailbox`] first (how a message reaches an actor, and how a full mailbox holds its senders back), then
//! [`stage_actor`] (what every actor does around its stage), then the stages in the order of the data: [`ingest`], [`align`]
//! (and [`resize`]: streams that move between shards), [`batch`] with [`prepare`] and [`instance`], [`publish`].
//! [`mod@run`] assembles the stages, checks every [`heartbeat`] and stops the stages in order. [`autoscaler`] compares the
//! load with the scaling policy and sets the [`desired`] counts, unless an operator has overridden them.
//! [`mod@supervise`] replaces a pipeline that has failed by a new one.

pub mod align;
pub mod autoscaler;
pub mod batch;
mod decoding;
pub mod desired;
pub mod failure;
pub mod heartbeat;
pub mod ingest;
pub mod instance;
pub mod mailbox;
mod memory;
pub mod observer;
pub mod prepare;
pub mod publish;
pub mod resize;
pub mod route;
pub mod run;
pub mod stage_actor;
pub mod status;
pub mod stop;
pub mod supervise;
pub mod tensor_pool;

pub use observer::{Observer, Shared, Unobserved};
pub use run::{Ended, Parts, PipelineError, run};
pub use status::Status;
pub use stop::Stop;
pub use supervise::supervise;
