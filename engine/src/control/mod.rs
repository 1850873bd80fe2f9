//! Bounds memory: one byte budget, and who pauses when it is spent.

pub mod budget;
