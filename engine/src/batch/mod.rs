//! Gathers bundles into batches.

pub mod batcher;
pub mod policy;

pub use batcher::{Batchable, Batcher};
pub use policy::BatchPolicy;
