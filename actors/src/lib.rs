//! The rooms of the engine as actors. A shell adds what the rules leave out: mailboxes with bounds,
//! time, threads, and somebody who notices when a room fails.
//!
//! Read [`link`] first (how a message gets from one actor to the next, and what happens when there is no
//! room), then [`shell`] (what every actor does around its room), then the rooms in the order of the
//! data: [`ingest`], [`align`] (and [`resize`]: streams that move from shard to shard), [`batch`] with [`prepare`] and
//! [`instance`], [`publish`]. [`mod@run`] puts them together, feels their [`pulse`], has [`control`] look at the load, and
//! stops them in order, and what is [`asked`] for by it or by hand is seen to; [`mod@supervise`] puts a new pipeline in the
//! place of one that has failed.

pub mod align;
pub mod asked;
pub mod batch;
pub mod control;
mod decoding;
pub mod failure;
pub mod ingest;
pub mod instance;
pub mod link;
mod memory;
pub mod observer;
pub mod prepare;
pub mod publish;
pub mod pulse;
pub mod resize;
pub mod route;
pub mod run;
pub mod shell;
pub mod spare;
pub mod status;
pub mod stop;
pub mod supervise;

pub use observer::{Observer, Shared, Unobserved};
pub use run::{Ended, Parts, PipelineError, run};
pub use status::Status;
pub use stop::Stop;
pub use supervise::supervise;
