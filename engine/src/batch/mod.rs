//! Batching: the settings ([`policy`]), the cost of batches ([`cost`]) and the queue ([`batcher`]). [`pace`] times
//! batches by their cost and the rate of arrival.

pub mod batcher;
pub mod cost;
pub mod pace;
pub mod policy;

#[cfg(test)]
mod simulation_tests;

pub use batcher::{BatchDecision, Batchable, Batcher};
pub use cost::{BatchCosts, CostModel};
pub use policy::{BatchMode, BatchPolicy, Hours};
