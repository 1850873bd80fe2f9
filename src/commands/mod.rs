//! The subcommands, a file each. A command returns its exit code, or an error for people: what was
//! wrong, where, and what would be right.

pub(crate) mod align;
pub(crate) mod broker;
pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod demo;
pub(crate) mod dlq;
pub(crate) mod models;
mod outcomes;
pub(crate) mod publish;
pub(crate) mod run;
pub(crate) mod scale;
pub(crate) mod simulate;
pub(crate) mod tail;
pub(crate) mod top;
pub(crate) mod topics;

/// An error for people, printed as `error: …`.
pub(crate) use lockstep_assemble::Failure;
