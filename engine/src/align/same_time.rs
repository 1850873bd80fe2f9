//! The ids of the samples of one event time that have left the buffers: a producer that tries again brings them again.

use std::hash::BuildHasher;

use rustc_hash::{FxBuildHasher, FxHashSet};

use super::held::Held;

/// The ids of the samples of the latest event time that have left, where that time does not identify them. Samples without
/// an id cost nothing.
#[derive(Debug, Default)]
pub(super) struct SameTimeIds(Option<Box<Seen>>);

#[derive(Debug)]
struct Seen {
    time: i64,
    ids: FxHashSet<u64>,
}

/// A sample where those of several inputs are remembered together.
pub(super) struct OfInput<'a, T> {
    pub(super) input: usize,
    pub(super) item: &'a T,
}

impl<T: Held> Held for OfInput<'_, T> {
    fn fingerprint(&self) -> Option<u64> {
        Some(FxBuildHasher.hash_one((self.input, self.item.fingerprint()?)))
    }
}

impl SameTimeIds {
    /// So many are remembered at most, the first of their time.
    pub(super) const MOST: usize = 4096;
    /// Memory for more than that is given back when the time is over.
    const MOST_KEPT: usize = 64;

    /// Remembers a sample that leaves.
    pub(super) fn add<T: Held>(&mut self, time: i64, item: &T) {
        let Some(id) = item.fingerprint() else { return };
        let seen = self.0.get_or_insert_with(|| Box::new(Seen { time, ids: FxHashSet::default() }));
        if seen.time != time {
            seen.time = time;
            seen.ids.clear();
            seen.ids.shrink_to(Self::MOST_KEPT);
        }
        if seen.ids.len() < Self::MOST {
            seen.ids.insert(id);
        }
    }

    /// Whether a sample is one of those.
    pub(super) fn has<T: Held>(&self, time: i64, item: &T) -> bool {
        let Some(seen) = self.0.as_ref().filter(|seen| seen.time == time) else { return false };
        item.fingerprint().is_some_and(|id| seen.ids.contains(&id))
    }
}
