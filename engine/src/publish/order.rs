//! Restores the order of results within each stream: instances finish in any order.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

use crate::sample::StreamKey;

/// Holds results until all earlier ones of their stream have finished.
#[derive(Debug)]
pub struct InOrder<T> {
    streams: FxHashMap<StreamKey, VecDeque<Admitted<T>>>,
    /// Empty queues, kept for reuse. If each of many streams has one item at a time, every new queue would allocate
    /// memory.
    spare: Vec<VecDeque<Admitted<T>>>,
    /// The numbers of unfinished items by the mark before which they were admitted, from the oldest mark that has any
    /// left. The last number is that of items since the last mark.
    admitted: VecDeque<usize>,
    /// The number of marks that have no item left.
    passed: u64,
}

#[derive(Debug)]
struct Admitted<T> {
    id: u64,
    /// The number of marks set before it.
    after: u64,
    item: Option<T>,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self { streams: FxHashMap::default(), spare: Vec::new(), admitted: VecDeque::from([0]), passed: 0 }
    }
}

impl<T> InOrder<T> {
    /// The most queues kept, and the largest capacity of a kept queue.
    const MOST_SPARE: usize = 1024;
    const MOST_IN_SPARE: usize = 8;

    /// Adds `id` as the next item of the stream. Ids are unique.
    pub fn admit(&mut self, stream: StreamKey, id: u64) {
        let after = self.passed + self.admitted.len() as u64 - 1;
        let queue = self.streams.entry(stream).or_insert_with(|| self.spare.pop().unwrap_or_default());
        queue.push_back(Admitted { id, after, item: None });
        if let Some(count) = self.admitted.back_mut() {
            *count += 1;
        }
    }

    /// Sets a mark behind all admitted items.
    pub fn mark(&mut self) -> u64 {
        self.admitted.push_back(0);
        let mark = self.passed + self.admitted.len() as u64 - 1;
        self.pass();
        mark
    }

    /// True if all items admitted before a mark have left.
    pub fn has_passed(&self, mark: u64) -> bool {
        self.passed >= mark
    }

    fn pass(&mut self) {
        while self.admitted.len() > 1 && self.admitted.front() == Some(&0) {
            self.admitted.pop_front();
            self.passed += 1;
        }
    }

    /// Finishes `id` and returns the items that can leave now: none, or it and those behind it that waited for it. An
    /// id that was not admitted leaves at once.
    pub fn finish(&mut self, stream: &StreamKey, id: u64, item: T) -> SmallVec<[T; 1]> {
        let Some(queue) = self.streams.get_mut(stream) else { return smallvec![item] };
        let Some(place) = queue.iter_mut().find(|admitted| admitted.id == id) else { return smallvec![item] };
        place.item = Some(item);
        let mut out = SmallVec::new();
        while let Some(Admitted { item: Some(_), .. }) = queue.front() {
            let Some(Admitted { after, item, .. }) = queue.pop_front() else { break };
            out.extend(item);
            let place = usize::try_from(after.saturating_sub(self.passed)).unwrap_or(usize::MAX);
            if let Some(count) = self.admitted.get_mut(place) {
                *count -= 1;
            }
        }
        if queue.is_empty()
            && let Some(queue) = self.streams.remove(stream)
            && queue.capacity() <= Self::MOST_IN_SPARE
            && self.spare.len() < Self::MOST_SPARE
        {
            self.spare.push(queue);
        }
        self.pass();
        out
    }

    /// The number of admitted items that have not left.
    pub fn len(&self) -> usize {
        self.admitted.iter().sum()
    }

    /// True if all admitted items have left.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn results_leave_in_the_order_of_their_bundles(
            bundles in prop::collection::vec((0usize..4, any::<u32>()), 0..60),
        ) {
            let key = |stream: usize| StreamKey::from(stream.to_string().as_str());
            let mut order = InOrder::default();
            let mut marks: Vec<(u64, usize)> = Vec::new();
            for (id, (stream, when)) in bundles.iter().enumerate() {
                if when % 3 == 0 {
                    marks.push((order.mark(), id));
                }
                order.admit(key(*stream), id as u64);
            }
            let mut finishing: Vec<(u32, usize, u64)> =
                bundles.iter().enumerate().map(|(id, (stream, when))| (*when, *stream, id as u64)).collect();
            finishing.sort_unstable();
            let mut gone: Vec<(usize, u64)> = Vec::new();
            for (_, stream, id) in finishing {
                gone.extend(order.finish(&key(stream), id, (stream, id)));
                prop_assert_eq!(order.len(), bundles.len() - gone.len());
                for (mark, before) in &marks {
                    let left = (0..*before as u64).filter(|id| !gone.iter().any(|(_, gone)| gone == id)).count();
                    prop_assert_eq!(order.has_passed(*mark), left == 0);
                }
            }
            prop_assert_eq!(gone.len(), bundles.len());
            prop_assert!(order.is_empty() && order.streams.is_empty());
            for stream in 0..4 {
                prop_assert!(gone.iter().filter(|g| g.0 == stream).map(|g| g.1).is_sorted());
            }
        }
    }
}
