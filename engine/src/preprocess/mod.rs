//! Makes tensors of payloads, straight into a batch's memory.

pub mod spec;

pub use spec::Preprocess;
