//! A queue in which streams take turns, so that many rows of one stream do not delay the few of another.
//!
//! In its turn a stream gives some rows, in their order. Then it goes to the end. So a row waits for its stream's earlier
//! rows and, for each turn that these need, for one turn of each other stream. A number of rows a turn, and not one, lets a
//! batch have several rows of one bundle, whose image is then decoded once.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::batch::item::Batchable;
use crate::sample::StreamKey;
use crate::time::Timestamp;

/// Rows by stream, and the order of the streams.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    /// The rows of each stream that has some, each with its number.
    streams: FxHashMap<StreamKey, VecDeque<(u64, T)>>,
    /// The streams that have rows; it is the turn of the first.
    turns: VecDeque<StreamKey>,
    /// The rows that the first stream has given in this turn.
    given: usize,
    /// All rows from the oldest waiting one on.
    arrivals: VecDeque<RowArrival>,
    /// The number of the first of `arrivals`.
    first: u64,
    waiting: usize,
}

/// A row's arrival.
#[derive(Clone, Copy, Debug)]
struct RowArrival {
    since: Timestamp,
    event_time: Timestamp,
    is_taken: bool,
}

impl<T: Batchable> FairQueue<T> {
    pub(super) fn new() -> Self {
        Self {
            streams: FxHashMap::default(),
            turns: VecDeque::new(),
            given: 0,
            arrivals: VecDeque::new(),
            first: 0,
            waiting: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// The arrival and the event time of the row that has waited longest.
    pub(super) fn oldest(&self) -> Option<(Timestamp, Timestamp)> {
        self.arrivals.front().map(|arrival| (arrival.since, arrival.event_time))
    }

    /// Adds a row at the end of its stream.
    pub(super) fn push(&mut self, since: Timestamp, item: T) {
        let number = self.first + self.arrivals.len() as u64;
        self.arrivals.push_back(RowArrival { since, event_time: item.event_time(), is_taken: false });
        self.waiting += 1;
        match self.streams.get_mut(item.stream()) {
            Some(rows) => rows.push_back((number, item)),
            None => {
                let stream = item.stream().clone();
                self.turns.push_back(stream.clone());
                self.streams.insert(stream, VecDeque::from([(number, item)]));
            }
        }
    }

    /// Takes up to `size` rows, from each stream at most `share` in its turn.
    pub(super) fn take(&mut self, size: usize, share: usize) -> Vec<T> {
        let mut batch = Vec::with_capacity(size.min(self.waiting));
        while batch.len() < size
            && let Some(stream) = self.turns.front()
        {
            let rows = self.streams.get_mut(stream);
            let (row, is_empty) = rows.map_or((None, true), |rows| (rows.pop_front(), rows.is_empty()));
            if let Some((number, item)) = row {
                self.leave(number);
                batch.push(item);
            }
            self.given += 1;
            if is_empty || self.given >= share.max(1) {
                self.end_turn(is_empty);
            }
        }
        batch
    }

    /// Removes all rows, in the order of their arrival.
    pub(super) fn drain(&mut self) -> Vec<(Timestamp, T)> {
        let mut rows: Vec<(u64, T)> = self.streams.drain().flat_map(|(_, rows)| rows).collect();
        rows.sort_unstable_by_key(|(number, _)| *number);
        let since = |number: u64| self.arrival(number).map_or(Timestamp::default(), |arrival| arrival.since);
        let drained = rows.into_iter().map(|(number, item)| (since(number), item)).collect();
        *self = Self::new();
        drained
    }

    fn end_turn(&mut self, is_empty: bool) {
        self.given = 0;
        let Some(stream) = self.turns.pop_front() else { return };
        if is_empty {
            self.streams.remove(&stream);
        } else {
            self.turns.push_back(stream);
        }
    }

    fn arrival(&self, number: u64) -> Option<&RowArrival> {
        self.arrivals.get(usize::try_from(number - self.first).ok()?)
    }

    /// Forgets a row, and with it all rows before it that have gone.
    fn leave(&mut self, number: u64) {
        self.waiting -= 1;
        let place = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        if let Some(arrival) = self.arrivals.get_mut(place) {
            arrival.is_taken = true;
        }
        while self.arrivals.front().is_some_and(|arrival| arrival.is_taken) {
            self.arrivals.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
#[path = "fair_queue_tests.rs"]
mod tests;
