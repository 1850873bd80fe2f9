//! Gathers bundles into batches: what is configured ([`policy`]), what batches cost ([`cost`]), when to go by
//! that and the rate of arrival ([`pace`]), and the queue that it is applied to ([`batcher`]).

pub mod batcher;
pub mod cost;
pub mod pace;
pub mod policy;

#[cfg(test)]
mod simulation_tests;

pub use batcher::{Batchable, Batcher, Chosen};
pub use cost::{CostModel, Costs};
pub use policy::{BatchMode, BatchPolicy, Hours};
