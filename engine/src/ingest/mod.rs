//! Turns Kafka records into samples, by their headers alone.

pub mod duration;
pub mod input;
pub mod source;

pub use input::InputSpec;
