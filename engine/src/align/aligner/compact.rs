//! Compaction: the aligner frees the memory of streams that are gone.

use std::cmp::Reverse;

use super::super::held::Held;
use super::Aligner;

impl<T: Held + Clone> Aligner<T> {
    /// Frees the memory of streams that are gone, once most are.
    pub(super) fn compact(&mut self) {
        if self.streams.slots() <= self.streams.len().saturating_mul(4).saturating_add(64) {
            return;
        }
        let mut slots = vec![u32::MAX; self.streams.slots()];
        let moved = self.streams.compact();
        for (to, from) in (0_u32..).zip(&moved) {
            if let Some(slot) = slots.get_mut(*from as usize) {
                *slot = to;
            }
        }
        let to = |from: u32| slots.get(from as usize).copied().unwrap_or(u32::MAX);
        self.last = 0;
        let deadlines = std::mem::take(&mut self.deadlines).into_iter();
        let moved_to = |Reverse((deadline, slot))| Some(Reverse((deadline, to(slot))));
        let still =
            deadlines.filter_map(moved_to).filter(|Reverse((deadline, slot))| self.counts(*deadline, *slot));
        self.deadlines = still.collect();
        self.deadlines.shrink_to_fit();
        if let Some(account) = &mut self.account {
            account.compact(&moved);
        }
    }

    /// The number of streams that there is memory for, over all tables that have an entry for each.
    #[cfg(test)]
    pub(in crate::align) fn capacity(&self) -> usize {
        self.streams.capacity()
            + self.deadlines.capacity()
            + self.account.as_ref().map_or(0, |account| account.capacity())
    }
}
