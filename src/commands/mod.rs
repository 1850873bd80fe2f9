//! The subcommands, a file each. A command returns its exit code, or an error for people: what was
//! wrong, where, and what would be right.

pub mod align;
pub mod broker;
pub mod check;
pub mod demo;
pub mod publish;
pub mod run;
pub mod tail;
pub mod topics;

/// An error for people, printed as `error: …`.
pub type Failure = Box<dyn std::error::Error>;
