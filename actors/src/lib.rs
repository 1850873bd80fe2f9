//! The stages of the engine as actors. A stage actor adds what the rules leave out: bounded mailboxes, time, threads, and
//! stall detection.
//!
//! Read in this order:
//!
//! 1. [`mailbox`]: the way of a message to an actor, and backpressure.
//! 2. [`stage_actor`]: the actor around every stage.
//! 3. [`message`]: the messages of all stages. Stages import these and never one another.
//! 4. The stages in the order of the data: [`ingest`], [`align`], [`batch`], [`prepare`], [`instance`], [`publish`].
//! 5. [`mod@run`] assembles the stages, detects stalled ones by their [`heartbeat`], and stops the stages in order.
//! 6. [`autoscaler`] compares the load with the scaling policy and sets the [`desired`] numbers, unless an operator has
//!    overridden them. [`mod@supervise`] replaces a failed pipeline.
//!
//! The other files hold what several of these share. No files import one another in a circle.

pub mod align;
pub mod autoscaler;
pub mod batch;
pub mod counts;
mod decoding;
pub mod desired;
pub mod failure;
mod fill;
pub mod heartbeat;
pub mod ingest;
mod input_name;
pub mod instance;
pub mod instance_handle;
pub mod load;
pub mod mailbox;
mod memory;
pub mod message;
mod model_memory;
mod notify;
pub mod observer;
pub mod panic_text;
mod preload;
pub mod prepare;
pub mod publish;
pub mod route;
pub mod run;
pub mod stage_actor;
mod stall;
pub mod status;
pub mod step_runtime;
pub mod stop;
pub mod supervise;
pub mod tensor_pool;
pub mod unit_runtime;

pub use failure::PipelineFailure;
pub use model_memory::ModelMemory;
pub use observer::{Observer, SharedObserver, Unobserved};
pub use run::{PipelineEnd, PipelineError, PipelineParts, StartError, check_model_memory, footprint, run};
pub use status::Status;
pub use stop::Stop;
pub use supervise::supervise;
pub use unit_runtime::Footprint;
