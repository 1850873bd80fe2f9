//! Samples on their way into the aligner.

use std::sync::Arc;

use super::super::event::Stamp;
use crate::position::InputId;
use crate::sample::{Sample, StreamKey};

/// A sample on its way into the aligner: the arguments of [`Aligner::push`](super::Aligner::push) in one.
pub trait Incoming {
    /// The item that the aligner holds.
    type Item;

    /// The key of its stream.
    fn stream(&self) -> &StreamKey;

    /// The input that it came through.
    fn input(&self) -> InputId;

    /// Its event time, length, partition and tie-break.
    fn stamp(&self) -> Stamp;

    /// The item to hold.
    fn into_item(self) -> Self::Item;
}

impl Incoming for Arc<Sample> {
    type Item = Self;

    fn stream(&self) -> &StreamKey {
        &self.stream
    }

    fn input(&self) -> InputId {
        (**self).input()
    }

    fn stamp(&self) -> Stamp {
        Stamp::from(&**self)
    }

    fn into_item(self) -> Self {
        self
    }
}

impl<T> Incoming for (&StreamKey, InputId, Stamp, T) {
    type Item = T;

    fn stream(&self) -> &StreamKey {
        self.0
    }

    fn input(&self) -> InputId {
        self.1
    }

    fn stamp(&self) -> Stamp {
        self.2
    }

    fn into_item(self) -> T {
        self.3
    }
}
