//! The items that wait for a batch, in one of three orders.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use crate::batch::fair_queue::FairQueue;
use crate::batch::item::{BatchOrder, Batchable};
use crate::time::Timestamp;

/// The number of turns in the largest batch. With fewer turns, more rows of a bundle meet in a batch, and its image is decoded
/// less often. With more turns, each batch serves more streams.
const TURNS_IN_A_BATCH: usize = 2;

/// Waiting items with their times of arrival.
#[derive(Debug)]
pub(super) enum WaitingItems<T> {
    /// In the order of arrival.
    Arrival {
        queue: VecDeque<(Timestamp, T)>,
        /// True if no batch has two items of a stream.
        one_per_stream: bool,
    },
    /// By stream.
    Turns(FairQueue<T>),
}

impl<T: Batchable> WaitingItems<T> {
    pub(super) fn new(order: BatchOrder) -> Self {
        match order {
            BatchOrder::Arrival => Self::Arrival { queue: VecDeque::new(), one_per_stream: false },
            BatchOrder::OnePerStream => Self::Arrival { queue: VecDeque::new(), one_per_stream: true },
            BatchOrder::Turns => Self::Turns(FairQueue::new()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Arrival { queue, .. } => queue.len(),
            Self::Turns(queue) => queue.len(),
        }
    }

    /// The arrival and the event time of the item that has waited longest.
    pub(super) fn oldest(&self) -> Option<(Timestamp, Timestamp)> {
        match self {
            Self::Arrival { queue, .. } => queue.front().map(|(since, item)| (*since, item.event_time())),
            Self::Turns(queue) => queue.oldest(),
        }
    }

    pub(super) fn push(&mut self, since: Timestamp, item: T) {
        match self {
            Self::Arrival { queue, .. } => queue.push_back((since, item)),
            Self::Turns(queue) => queue.push(since, item),
        }
    }

    /// Takes up to `size` items; `largest` is the size of the largest batch.
    pub(super) fn take(&mut self, size: usize, largest: usize) -> Vec<T> {
        match self {
            Self::Arrival { queue, one_per_stream: false } => {
                queue.drain(..size.min(queue.len())).map(|(_, item)| item).collect()
            }
            Self::Arrival { queue, one_per_stream: true } => take_one_per_stream(queue, size),
            Self::Turns(queue) => queue.take(size, largest / TURNS_IN_A_BATCH),
        }
    }

    /// Removes all items, in the order of their arrival.
    pub(super) fn drain(&mut self) -> Vec<(Timestamp, T)> {
        match self {
            Self::Arrival { queue, .. } => queue.drain(..).collect(),
            Self::Turns(queue) => queue.drain(),
        }
    }

    /// Adds items of any times of arrival.
    pub(super) fn put_in(&mut self, items: Vec<(Timestamp, T)>) {
        let mut all = self.drain();
        all.extend(items);
        all.sort_by_key(|(since, _)| *since);
        all.into_iter().for_each(|(since, item)| self.push(since, item));
    }
}

fn take_one_per_stream<T: Batchable>(queue: &mut VecDeque<(Timestamp, T)>, size: usize) -> Vec<T> {
    let mut streams = FxHashSet::default();
    let mut batch = Vec::with_capacity(size);
    let mut rest = VecDeque::new();
    while let Some((since, item)) = queue.pop_front() {
        if batch.len() < size && streams.insert(item.stream().clone()) {
            batch.push(item);
        } else {
            rest.push_back((since, item));
            if batch.len() == size {
                rest.append(queue);
            }
        }
    }
    *queue = rest;
    batch
}
