//! Turns Kafka records into samples, by their keys, headers and sizes.

pub mod clock;
pub mod copartition;
pub mod duration;
pub mod flac;
pub mod gate;
pub mod input;
pub mod open_transaction;
pub mod parse;
pub mod partitioner;
pub mod shed;
pub mod source;
pub mod streams;
pub mod until;
pub mod wav;
pub mod wire;

pub use input::{InputSpec, OnDamage, OnDataLoss, OnDrift, PictureCare, UseOrientation};
