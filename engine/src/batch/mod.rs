//! Batching: the settings ([`policy`]), the cost of batches ([`cost`]), the time to send a batch by that cost and the
//! rate of arrival ([`pace`]), and the queue that applies them ([`batcher`]).

pub mod batcher;
pub mod cost;
pub mod pace;
pub mod policy;

#[cfg(test)]
mod simulation_tests;

pub use batcher::{BatchDecision, Batchable, Batcher};
pub use cost::{BatchCosts, CostModel};
pub use policy::{BatchMode, BatchPolicy, Hours};
