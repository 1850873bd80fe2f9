//! The ids of the samples of one event time that have left the buffers: a producer that retries sends them again.

use std::hash::BuildHasher;

use rustc_hash::{FxBuildHasher, FxHashSet};

use super::held::Held;

/// The ids of the samples of the latest event time that have left, where that time does not identify them. Samples without
/// an id cost nothing.
#[derive(Debug, Default)]
pub(super) struct SameTimeIds(Option<Box<SeenIds>>);

#[derive(Debug)]
struct SeenIds {
    time: i64,
    ids: FxHashSet<u64>,
}

/// A sample with its input, where the ids of several inputs are remembered together.
pub(super) struct InputItem<'a, T> {
    pub(super) input: usize,
    pub(super) item: &'a T,
}

impl<T: Held> Held for InputItem<'_, T> {
    fn fingerprint(&self) -> Option<u64> {
        Some(FxBuildHasher.hash_one((self.input, self.item.fingerprint()?)))
    }
}

impl SameTimeIds {
    /// The most ids that are remembered, the first of their time.
    pub(super) const MOST: usize = 4096;
    /// The capacity that is kept for the next event time; the rest is freed.
    const MOST_KEPT: usize = 64;

    /// Remembers a sample that leaves.
    pub(super) fn add<T: Held>(&mut self, time: i64, item: &T) {
        let Some(id) = item.fingerprint() else { return };
        let seen = self.0.get_or_insert_with(|| Box::new(SeenIds { time, ids: FxHashSet::default() }));
        if seen.time != time {
            seen.time = time;
            seen.ids.clear();
            seen.ids.shrink_to(Self::MOST_KEPT);
        }
        if seen.ids.len() < Self::MOST {
            seen.ids.insert(id);
        }
    }

    /// Returns true if a sample is one of these.
    pub(super) fn has<T: Held>(&self, time: i64, item: &T) -> bool {
        let Some(seen) = self.0.as_ref().filter(|seen| seen.time == time) else { return false };
        item.fingerprint().is_some_and(|id| seen.ids.contains(&id))
    }
}
