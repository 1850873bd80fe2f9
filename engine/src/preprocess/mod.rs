//! Makes tensors of payloads, straight into a batch's memory.

pub mod placement;
pub mod spec;

pub use placement::Placement;
pub use spec::Preprocess;
