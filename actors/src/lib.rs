//! The rooms of the engine as actors. A shell adds what the rules leave out: mailboxes with bounds,
//! time, threads, and somebody who notices when a room fails.
//!
//! Read [`link`] first (how a message gets from one actor to the next, and what happens when there is no
//! room), then [`shell`] (what every actor does around its room), then the rooms in the order of the
//! data: [`ingest`], [`align`], [`batch`] with [`prepare`] and [`instance`], [`publish`]. [`mod@run`] puts
//! them together, watches them and stops them in order.

pub mod align;
pub mod batch;
pub mod ingest;
pub mod instance;
pub mod link;
pub mod observer;
pub mod prepare;
pub mod publish;
pub mod route;
pub mod run;
pub mod shell;
pub mod spare;
pub mod status;

pub use observer::{Observer, Unobserved};
pub use run::{Ended, Parts, PipelineError, Stop, run};
pub use status::Status;
