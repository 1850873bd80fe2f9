//! Decides who pauses when the byte budget is spent.

pub mod gate;
