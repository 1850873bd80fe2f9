//! The queue of one model: when a batch goes, and what is in it.
//!
//! A batch is cut by whoever has reserved an instance for it, as late as possible: [`Batcher::ready`]
//! says whether one should go now, [`Batcher::deadline`] when to ask again, [`Batcher::cut`] takes it.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use crate::batch::BatchPolicy;
use crate::sample::StreamKey;
use crate::time::Timestamp;

/// What can be put into a batch.
pub trait Batchable {
    /// The stream that it belongs to.
    fn stream(&self) -> &StreamKey;
}

/// The queue of one model, in the order of arrival.
#[derive(Debug)]
pub struct Batcher<T> {
    policy: BatchPolicy,
    /// A model that carries state takes one bundle of a stream at a time.
    one_per_stream: bool,
    queue: VecDeque<(Timestamp, T)>,
}

impl<T: Batchable> Batcher<T> {
    /// An empty queue. With `one_per_stream` no batch has two bundles of a stream.
    pub fn new(policy: BatchPolicy, one_per_stream: bool) -> Self {
        Self { policy, one_per_stream, queue: VecDeque::new() }
    }

    /// From here on batches have at most so many bundles, if they had more; at least one.
    pub fn limit(&mut self, most: usize) {
        self.policy.max_size = self.policy.max_size.min(most).max(1);
        self.policy.preferred.retain(|size| *size <= most);
    }

    /// Adds a bundle at the end.
    pub fn push(&mut self, item: T, now: Timestamp) {
        self.queue.push_back((now, item));
    }

    /// Bundles that wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a batch should go now: it is full, has a preferred size, or its oldest bundle has waited
    /// long enough.
    pub fn ready(&self, now: Timestamp) -> bool {
        let reaches = |size: &usize| self.queue.len() >= *size;
        reaches(&self.policy.max_size.max(1))
            || self.policy.preferred.first().is_some_and(reaches)
            || self.deadline().is_some_and(|deadline| now >= deadline)
    }

    /// When the oldest bundle will have waited long enough; none when nothing waits.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.queue.front().map(|(since, _)| since.after(self.policy.max_delay))
    }

    /// Takes a batch in the order of arrival: as many as go into one, or, while nobody has waited too
    /// long, the largest preferred size that there is. Empty only when nothing waits.
    pub fn cut(&mut self, now: Timestamp) -> Vec<T> {
        let mut size = self.queue.len().min(self.policy.max_size.max(1));
        let overdue = self.deadline().is_some_and(|deadline| now >= deadline);
        if !overdue
            && size < self.policy.max_size
            && let Some(preferred) = self.policy.preferred.iter().rev().find(|preferred| **preferred <= size)
        {
            size = *preferred;
        }
        if !self.one_per_stream {
            return self.queue.drain(..size).map(|(_, item)| item).collect();
        }
        let mut streams = FxHashSet::default();
        let mut batch = Vec::with_capacity(size);
        let mut rest = VecDeque::new();
        while let Some((since, item)) = self.queue.pop_front() {
            if batch.len() < size && streams.insert(item.stream().clone()) {
                batch.push(item);
            } else {
                rest.push_back((since, item));
                if batch.len() == size {
                    rest.append(&mut self.queue);
                }
            }
        }
        self.queue = rest;
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Item(StreamKey, usize);

    impl Batchable for Item {
        fn stream(&self) -> &StreamKey {
            &self.0
        }
    }

    fn item(stream: usize, number: usize) -> Item {
        Item(StreamKey::from(stream.to_string().as_str()), number)
    }

    fn batcher(max_size: usize, preferred: &[usize], one_per_stream: bool) -> Batcher<Item> {
        let max_delay = Duration::from_millis(5);
        Batcher::new(BatchPolicy { max_size, max_delay, preferred: preferred.to_vec() }, one_per_stream)
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_full_batch_goes_at_once_and_a_part_of_one_when_the_oldest_has_waited() {
        let mut batcher = batcher(3, &[], false);
        batcher.push(item(0, 0), at(0));
        batcher.push(item(0, 1), at(4));
        assert!(!batcher.ready(at(4)));
        assert_eq!(batcher.deadline(), Some(at(5)));
        assert!(batcher.ready(at(5)));
        batcher.push(item(0, 2), at(4));
        assert!(batcher.ready(at(4)));
        assert_eq!(batcher.cut(at(4)).len(), 3);
        assert!(!batcher.ready(at(99)) && batcher.deadline().is_none());
    }

    #[test]
    fn a_preferred_size_goes_without_waiting_for_more() {
        let mut batcher = batcher(8, &[2, 4], false);
        for number in 0..5 {
            batcher.push(item(0, number), at(0));
        }
        assert!(batcher.ready(at(0)));
        assert_eq!(batcher.cut(at(0)).len(), 4);
        assert!(!batcher.ready(at(0)));
        assert_eq!(batcher.cut(at(5)).len(), 1, "after the delay whatever is there goes");
    }

    #[test]
    fn a_batch_larger_than_any_preferred_size_is_full_before_it_is_preferred() {
        let mut batcher = batcher(8, &[4], false);
        for number in 0..9 {
            batcher.push(item(0, number), at(0));
        }
        assert_eq!(batcher.cut(at(0)).len(), 8);
    }

    #[test]
    fn a_limit_that_comes_later_holds_for_what_waits_already() {
        let mut batcher = batcher(8, &[4], false);
        for number in 0..8 {
            batcher.push(item(0, number), at(0));
        }
        batcher.limit(3);
        assert_eq!(batcher.cut(at(0)).len(), 3);
        batcher.limit(5);
        assert_eq!(batcher.cut(at(0)).len(), 3, "it never grows");
    }

    proptest! {
        #[test]
        fn batches_neither_lose_nor_reorder(
            streams in prop::collection::vec(0usize..4, 0..60),
            max_size in 0usize..9,
            one_per_stream: bool,
            preferred in prop::collection::btree_set(1usize..8, 0..3),
        ) {
            let preferred: Vec<usize> = preferred.into_iter().filter(|size| *size <= max_size).collect();
            let mut batcher = batcher(max_size, &preferred, one_per_stream);
            for (number, stream) in streams.iter().enumerate() {
                batcher.push(item(*stream, number), at(number as i64));
            }
            let mut seen = Vec::new();
            while !batcher.is_empty() {
                let batch = batcher.cut(at(1_000));
                prop_assert!(!batch.is_empty() && batch.len() <= max_size.max(1));
                if one_per_stream {
                    let distinct: FxHashSet<_> = batch.iter().map(|item| item.0.clone()).collect();
                    prop_assert_eq!(distinct.len(), batch.len());
                }
                seen.extend(batch);
            }
            prop_assert_eq!(seen.len(), streams.len());
            for stream in 0..4 {
                let key = StreamKey::from(stream.to_string().as_str());
                let numbers: Vec<usize> = seen.iter().filter(|i| i.0 == key).map(|i| i.1).collect();
                prop_assert!(numbers.is_sorted());
            }
            if !one_per_stream {
                prop_assert!(seen.iter().map(|item| item.1).is_sorted());
            }
        }
    }
}
