//! Puts results back into the order of their bundles, stream by stream: instances finish in any order.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::sample::StreamKey;

/// Holds what finished early until all before it in its stream have finished.
#[derive(Debug)]
pub struct InOrder<T> {
    streams: FxHashMap<StreamKey, VecDeque<(u64, Option<T>)>>,
    admitted: usize,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self { streams: FxHashMap::default(), admitted: 0 }
    }
}

impl<T> InOrder<T> {
    /// Says that the stream's next is `id`. Ids are unique.
    pub fn admit(&mut self, stream: StreamKey, id: u64) {
        self.streams.entry(stream).or_default().push_back((id, None));
        self.admitted += 1;
    }

    /// Gives what can go now that `id` is finished: nothing, or it and those behind it that wait for it.
    /// An id that was not admitted goes at once.
    pub fn finish(&mut self, stream: &StreamKey, id: u64, item: T) -> Vec<T> {
        let Some(queue) = self.streams.get_mut(stream) else { return vec![item] };
        let Some(place) = queue.iter_mut().find(|(admitted, _)| *admitted == id) else { return vec![item] };
        place.1 = Some(item);
        let mut out = Vec::new();
        while let Some((_, Some(_))) = queue.front() {
            out.extend(queue.pop_front().and_then(|(_, item)| item));
        }
        if queue.is_empty() {
            self.streams.remove(stream);
        }
        self.admitted -= out.len();
        out
    }

    /// How many were admitted and have not gone.
    pub fn len(&self) -> usize {
        self.admitted
    }

    /// Whether all that were admitted have gone.
    pub fn is_empty(&self) -> bool {
        self.admitted == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn results_leave_in_the_order_of_their_bundles_and_none_stays(
            bundles in prop::collection::vec((0usize..4, any::<u32>()), 0..60),
        ) {
            let key = |stream: usize| StreamKey::from(stream.to_string().as_str());
            let mut order = InOrder::default();
            for (id, (stream, _)) in bundles.iter().enumerate() {
                order.admit(key(*stream), id as u64);
            }
            let mut finishing: Vec<(u32, usize, u64)> =
                bundles.iter().enumerate().map(|(id, (stream, when))| (*when, *stream, id as u64)).collect();
            finishing.sort_unstable();
            let mut gone: Vec<(usize, u64)> = Vec::new();
            for (_, stream, id) in finishing {
                gone.extend(order.finish(&key(stream), id, (stream, id)));
            }
            prop_assert_eq!(gone.len(), bundles.len());
            prop_assert!(order.is_empty() && order.streams.is_empty());
            for stream in 0..4 {
                prop_assert!(gone.iter().filter(|g| g.0 == stream).map(|g| g.1).is_sorted());
            }
        }
    }
}
