//! Records in the order in which they are sent: those that are under way, until it is known what became of them, and behind
//! them those that wait for room, or for the next transaction.

use std::collections::VecDeque;

use lockstep_engine::publish::sink::OutRecord;

use super::pending::{Outbound, Pending};

/// The queue. Each record has a number, one more than the one before.
#[derive(Default)]
pub(super) struct SendQueue {
    /// What has the numbers from `first` on. Deliveries come about in the order of sending; `None` has come to its end.
    items: VecDeque<Option<Pending>>,
    first: u64,
    /// The number of the first that waits.
    unsent: u64,
    unsent_bytes: usize,
}

impl SendQueue {
    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether something was sent of which is not known yet what became of it.
    pub(super) fn is_under_way(&self) -> bool {
        self.first < self.unsent
    }

    /// The number of the first that has not come to its end.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the first that has not been sent.
    pub(super) fn unsent(&self) -> u64 {
        self.unsent
    }

    /// The number of the next that is put in.
    pub(super) fn next(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    /// Whether something waits.
    pub(super) fn has_unsent(&self) -> bool {
        self.unsent < self.next()
    }

    /// How many bytes wait.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    /// Puts in what has been sent, as nothing waits.
    pub(super) fn push_sent(&mut self, pending: Pending) {
        self.items.push_back(Some(pending));
        self.unsent = self.next();
    }

    /// Puts in what is to be sent.
    pub(super) fn push_unsent(&mut self, record: Box<OutRecord>, what: Outbound) {
        self.unsent_bytes += record.weight();
        self.items.push_back(Some(Pending { what, record: Some(record) }));
    }

    /// Puts in what is to be sent again before all that waits. Nothing is under way, and they get numbers that others have had.
    pub(super) fn push_again(&mut self, again: impl DoubleEndedIterator<Item = Pending>) {
        for pending in again.rev() {
            self.unsent_bytes += pending.record.as_ref().map_or(0, |record| record.weight());
            self.items.push_front(Some(pending));
            self.first = self.first.saturating_sub(1);
            self.unsent = self.first;
        }
    }

    /// The first that waits, and its number.
    pub(super) fn first_unsent(&mut self) -> Option<(u64, &mut Pending)> {
        let (number, place) = (self.unsent, self.place(self.unsent)?);
        let pending = self.items.get_mut(place)?.as_mut()?;
        Some((number, pending))
    }

    /// The first that waits has been sent; what was sent of it is kept only if it has to be.
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

    /// The first that waits is not to be sent any more.
    pub(super) fn abandon(&mut self) {
        let number = self.unsent;
        self.sent(false);
        self.take(number);
    }

    /// Takes what has come to its end.
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

    /// A record that its key tells from all others.
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
        Outbound::Carried { partition: PartitionId { input: InputId(0), partition: 0 }, assignment: 1 }
    }

    proptest! {
        /// Against a list of what waits, a map of what is under way, and what has been told since the last time that all was
        /// sent again.
        #[test]
        fn each_is_sent_in_its_turn_and_taken_once(steps in prop::collection::vec((0_u32..6, any::<u32>()), 0..200)) {
            let mut queue = SendQueue::default();
            let (mut waiting, mut under_way, mut told) = (Vec::new(), BTreeMap::new(), Vec::new());
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
                        told.push(taken);
                    }
                    5 if under_way.is_empty() => {
                        waiting.splice(0..0, told.iter().map(id));
                        queue.push_again(told.drain(..));
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
