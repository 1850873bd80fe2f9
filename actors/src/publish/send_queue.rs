//! The queue of records in the order of sending: first those in flight, then those that wait for the sink or for the next
//! transaction.

use std::collections::VecDeque;

use lockstep_engine::publish::sink::OutRecord;

use super::pending::{Outbound, Pending};

/// The queue. Records have consecutive numbers.
#[derive(Default)]
pub(super) struct SendQueue {
    /// The records with the numbers from `first` on; `None` has ended. Deliveries come roughly in the order of sending.
    items: VecDeque<Option<Pending>>,
    first: u64,
    /// The number of the first waiting record.
    unsent: u64,
    unsent_bytes: usize,
}

impl SendQueue {
    /// Returns true if no record is in flight or waits.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns true if a record is in flight.
    pub(super) fn is_under_way(&self) -> bool {
        self.first < self.unsent
    }

    /// Returns the number of the first record that has not ended.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Returns the number of the first record that was not sent.
    pub(super) fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Returns the number of the next record to add.
    pub(super) fn next(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    /// Returns true if a record waits.
    pub(super) fn has_unsent(&self) -> bool {
        self.unsent < self.next()
    }

    /// Returns the bytes that wait.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    /// Adds a record that was sent while none waited.
    pub(super) fn push_sent(&mut self, pending: Pending) {
        self.items.push_back(Some(pending));
        self.unsent = self.next();
    }

    /// Adds a waiting record.
    pub(super) fn push_unsent(&mut self, record: Box<OutRecord>, what: Outbound) {
        self.unsent_bytes += record.weight();
        self.items.push_back(Some(Pending { what, record: Some(record) }));
    }

    /// Puts records to repeat before all waiting ones. No record may be in flight; the repeated ones get numbers that were used
    /// before.
    pub(super) fn push_again(&mut self, again: impl DoubleEndedIterator<Item = Pending>) {
        for pending in again.rev() {
            self.unsent_bytes += pending.record.as_ref().map_or(0, |record| record.weight());
            self.items.push_front(Some(pending));
            self.first = self.first.saturating_sub(1);
            self.unsent = self.first;
        }
    }

    /// Returns the first waiting record and its number.
    pub(super) fn first_unsent(&mut self) -> Option<(u64, &mut Pending)> {
        let (number, place) = (self.unsent, self.place(self.unsent)?);
        let pending = self.items.get_mut(place)?.as_mut()?;
        Some((number, pending))
    }

    /// Marks the first waiting record as sent. Its content stays only if `is_kept`.
    pub(super) fn sent(&mut self, is_kept: bool) {
        let place = self.place(self.unsent);
        if let Some(Some(pending)) = place.and_then(|place| self.items.get_mut(place)) {
            self.unsent_bytes -= pending.record.as_ref().map_or(0, |record| record.weight());
            if !is_kept {
                pending.record = None;
            }
            self.unsent += 1;
        }
    }

    /// Drops the first waiting record.
    pub(super) fn abandon(&mut self) {
        let number = self.unsent;
        self.sent(false);
        self.take(number);
    }

    /// Takes a record that has ended.
    pub(super) fn take(&mut self, number: u64) -> Option<Pending> {
        let place = self.place(number)?;
        let taken = self.items.get_mut(place)?.take();
        while let Some(None) = self.items.front() {
            self.items.pop_front();
            self.first += 1;
        }
        taken
    }

    fn place(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeMap;

    use lockstep_engine::position::{InputId, PartitionId};
    use proptest::prelude::*;

    use super::*;

    /// Returns a record with a unique key.
    fn record(id: u64) -> Box<OutRecord> {
        Box::new(OutRecord {
            topic: "results".into(),
            partition: None,
            key: Some(id.to_string().into()),
            payload: vec![0; 10].into(),
            headers: Vec::new(),
            timestamp: None,
        })
    }

    fn id(pending: &Pending) -> u64 {
        let key = pending.record.as_ref().unwrap().key.as_ref().unwrap();
        std::str::from_utf8(key).unwrap().parse().unwrap()
    }

    fn what() -> Outbound {
        Outbound::State { partition: PartitionId { input: InputId(0), partition: 0 }, assignment: 1 }
    }

    proptest! {
        /// Compares the queue with a list of waiting records, a map of records in flight, and the records that ended since the last
        /// repetition.
        #[test]
        fn send_queue_sends_in_order_and_ends_each_record_once(steps in prop::collection::vec((0_u32..6, any::<u32>()), 0..200)) {
            let mut queue = SendQueue::default();
            let (mut waiting, mut under_way, mut ended) = (Vec::new(), BTreeMap::new(), Vec::new());
            let mut last = 0;
            for (step, number) in steps {
                match step {
                    0 | 1 => {
                        last += 1;
                        if number % 2 == 0 && waiting.is_empty() {
                            under_way.insert(queue.next(), last);
                            queue.push_sent(Pending { what: what(), record: Some(record(last)) });
                        } else {
                            waiting.push(last);
                            queue.push_unsent(record(last), what());
                        }
                    }
                    2 => {
                        let first = queue.first_unsent().map(|(number, pending)| (number, id(pending)));
                        prop_assert_eq!(first.map(|(_, id)| id), waiting.first().copied());
                        if let Some((number, id)) = first {
                            queue.sent(true);
                            prop_assert_eq!(under_way.insert(number, id), None, "a number twice");
                            waiting.remove(0);
                        }
                    }
                    3 if queue.first_unsent().is_some() => {
                        queue.abandon();
                        waiting.remove(0);
                    }
                    4 if !under_way.is_empty() => {
                        let place = number as usize % under_way.len();
                        let (number, wanted) = under_way.iter().nth(place).map(|(a, b)| (*a, *b)).unwrap();
                        under_way.remove(&number);
                        let taken = queue.take(number).unwrap();
                        prop_assert_eq!(id(&taken), wanted);
                        prop_assert!(queue.take(number).is_none());
                        ended.push(taken);
                    }
                    5 if under_way.is_empty() => {
                        waiting.splice(0..0, ended.iter().map(id));
                        queue.push_again(ended.drain(..));
                    }
                    _ => {}
                }
                prop_assert_eq!(queue.is_under_way(), !under_way.is_empty());
                prop_assert_eq!(queue.is_empty(), under_way.is_empty() && waiting.is_empty());
                prop_assert_eq!(queue.unsent_bytes(), waiting.iter().map(|id| record(*id).weight()).sum::<usize>());
            }
        }
    }
}
