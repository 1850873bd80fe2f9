//! Turns Kafka records into samples, by their headers alone.

pub mod input;
pub mod source;

pub use input::InputSpec;
