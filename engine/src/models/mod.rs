//! The models in a device's memory: which copies are loaded, and which one leaves when another needs its place.

mod residency;

pub use residency::{CopyId, LEAST_STAY, MemoryDecision, Need, Occupancy, Residency, WouldNotFit, plan};
