//! The items of a queue, and the order in which it gives them.

use crate::sample::StreamKey;
use crate::time::Timestamp;

/// An item that can be batched.
pub trait Batchable {
    /// The stream of the item.
    fn stream(&self) -> &StreamKey;

    /// The event time of the item.
    fn event_time(&self) -> Timestamp;
}

/// The order in which a queue gives its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchOrder {
    /// The order of arrival.
    Arrival,
    /// The order of arrival, with one item of a stream in a batch: for models with stream state.
    OnePerStream,
    /// Streams take turns: for steps that run several rows of a bundle.
    Turns,
}
