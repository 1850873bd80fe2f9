//! Batching: the settings ([`policy`]), the cost of batches ([`cost`]) and the queue ([`batcher`]). [`pace`] times
//! batches by their cost and the rate of arrival. Rows of steps that run once per detection wait in a queue in which streams
//! take turns (`fair_queue`).

pub mod batcher;
pub mod cost;
mod fair_queue;
mod item;
pub mod pace;
pub mod policy;
mod waiting;

#[cfg(test)]
mod simulation_tests;

pub use batcher::{BatchDecision, Batcher};
pub use cost::{BatchCosts, CostModel};
pub use item::{BatchOrder, Batchable};
pub use policy::{BatchMode, BatchPolicy, Hours};
