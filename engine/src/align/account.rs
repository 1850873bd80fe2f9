//! The account of bounded memory: the amounts of each stream and of all together, and the streams that hold the most.

use super::bounds::{Bound, Bounds, Overflow};
use super::event::Event;
use super::held::Held;
use crate::time::nanos;

/// The bounds, and the amounts that count against them.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) overflow: Overflow,
    stream: Amount,
    /// The longest span, in nanoseconds.
    span: Option<i64>,
    all: Amount,
    /// The amounts by slot.
    held: Vec<Amount>,
    total: Amount,
    by_items: Option<Ranks>,
    by_bytes: Option<Ranks>,
}

/// A number of samples and bytes. A bound that is not set is the largest number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    items: u64,
    bytes: u64,
}

impl Amount {
    fn bound(items: Option<usize>, bytes: Option<u64>) -> Self {
        Self { items: items.map_or(u64::MAX, |items| items as u64), bytes: bytes.unwrap_or(u64::MAX) }
    }

    fn add(&mut self, weight: u64) {
        self.items = self.items.saturating_add(1);
        self.bytes = self.bytes.saturating_add(weight);
    }

    fn put(&mut self, other: Self) {
        self.items = self.items.saturating_add(other.items);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    fn take(&mut self, other: Self) {
        self.items = self.items.saturating_sub(other.items);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

impl Account {
    /// An account of an aligner that holds nothing.
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self {
            overflow: bounds.overflow,
            stream: Amount::bound(bounds.stream_items, bounds.stream_bytes),
            span: bounds.stream_span.map(nanos),
            all: Amount::bound(bounds.items, bounds.bytes),
            held: Vec::new(),
            total: Amount::default(),
            by_items: bounds.items.map(|_| Ranks::default()),
            by_bytes: bounds.bytes.map(|_| Ranks::default()),
        }
    }

    /// Returns true if the span of event times is bounded.
    pub(super) fn bounds_span(&self) -> bool {
        self.span.is_some()
    }

    /// Adds a sample to a stream.
    pub(super) fn add(&mut self, slot: u32, weight: u64) {
        self.grow(slot);
        if let Some(held) = self.held.get_mut(slot as usize) {
            held.add(weight);
            self.total.add(weight);
        }
        self.rank(slot);
    }

    /// Subtracts the samples of a stream that ended, by its events.
    pub(super) fn settle<T: Held>(&mut self, slot: u32, events: &[Event<T>]) {
        let mut freed = Amount::default();
        events.iter().filter_map(Event::ended).for_each(|item| freed.add(item.weight()));
        if freed.items > 0 {
            self.take(slot, freed);
        }
    }

    /// Removes a stream that is forgotten or handed over. Returns its amount.
    pub(super) fn forget(&mut self, slot: u32) -> Amount {
        let held = self.held.get(slot as usize).copied().unwrap_or_default();
        self.take(slot, held);
        held
    }

    /// Adds a stream that was handed over, with its amount.
    pub(super) fn adopt(&mut self, slot: u32, amount: Amount) {
        self.grow(slot);
        if let Some(held) = self.held.get_mut(slot as usize) {
            held.put(amount);
            self.total.put(amount);
        }
        self.rank(slot);
    }

    fn grow(&mut self, slot: u32) {
        if self.held.len() <= slot as usize {
            self.held.resize(slot as usize + 1, Amount::default());
        }
    }

    /// Changes the bounds of all streams together.
    pub(super) fn bound_all(&mut self, bounds: &Bounds) {
        self.all = Amount::bound(bounds.items, bounds.bytes);
    }

    /// The samples and bytes of all streams together, and of each.
    #[cfg(test)]
    pub(super) fn totals(&self) -> ((u64, u64), (u64, u64)) {
        let sum = self.held.iter().fold((0, 0), |sum, held| (sum.0 + held.items, sum.1 + held.bytes));
        ((self.total.items, self.total.bytes), sum)
    }

    fn take(&mut self, slot: u32, freed: Amount) {
        if let Some(held) = self.held.get_mut(slot as usize) {
            held.take(freed);
            self.total.take(freed);
        }
        self.rank(slot);
    }

    fn rank(&mut self, slot: u32) {
        let held = self.held.get(slot as usize).copied().unwrap_or_default();
        if let Some(ranks) = &mut self.by_items {
            ranks.set(slot, held.items);
        }
        if let Some(ranks) = &mut self.by_bytes {
            ranks.set(slot, held.bytes);
        }
    }

    /// The bound of its own that a stream exceeds, with one more sample of this weight, or none more. `reach` is its
    /// earliest and latest event time.
    pub(super) fn beyond(&self, slot: u32, more: Option<u64>, reach: Option<(i64, i64)>) -> Option<Bound> {
        let mut held = self.held.get(slot as usize).copied().unwrap_or_default();
        more.into_iter().for_each(|weight| held.add(weight));
        let span = reach.map_or(0, |(earliest, latest)| latest.saturating_sub(earliest));
        if held.items > self.stream.items {
            Some(Bound::StreamItems)
        } else if held.bytes > self.stream.bytes {
            Some(Bound::StreamBytes)
        } else if self.span.is_some_and(|most| span > most) {
            Some(Bound::StreamSpan)
        } else {
            None
        }
    }

    /// The bound that all streams together exceed, with one more sample of this weight, or none more.
    pub(super) fn beyond_all(&self, more: Option<u64>) -> Option<Bound> {
        let mut total = self.total;
        more.into_iter().for_each(|weight| total.add(weight));
        if total.items > self.all.items {
            Some(Bound::Items)
        } else if total.bytes > self.all.bytes {
            Some(Bound::Bytes)
        } else {
            None
        }
    }

    /// The slot of a stream than which none holds twice as much, of the bounded amount.
    pub(super) fn most(&self, bound: Bound) -> Option<u32> {
        let ranks = if bound == Bound::Items { &self.by_items } else { &self.by_bytes };
        ranks.as_ref().and_then(Ranks::most)
    }

    /// Follows a compaction: each entry of `moved` is the former slot of a stream, by its new one.
    pub(super) fn compact(&mut self, moved: &[u32]) {
        let held = moved.iter().map(|from| self.held.get(*from as usize).copied().unwrap_or_default());
        self.held = held.collect();
        for ranks in [&mut self.by_items, &mut self.by_bytes].into_iter().flatten() {
            *ranks = Ranks::default();
        }
        for slot in (0_u32..).take(self.held.len()) {
            self.rank(slot);
        }
    }

    /// The number of streams and ranks that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let ranks = [&self.by_items, &self.by_bytes];
        let capacity = |ranks: &Ranks| {
            ranks.places.capacity() + ranks.by_digits.iter().map(Vec::capacity).sum::<usize>()
        };
        self.held.capacity() + ranks.into_iter().flatten().map(capacity).sum::<usize>()
    }
}

/// Slots by the number of binary digits of their amounts. A change takes constant time.
#[derive(Debug, Default)]
struct Ranks {
    by_digits: Vec<Vec<u32>>,
    /// The places by slot.
    places: Vec<ListPlace>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ListPlace {
    /// 0 for a slot that no list has.
    digits: u32,
    index: u32,
}

impl Ranks {
    fn set(&mut self, slot: u32, amount: u64) {
        if self.places.len() <= slot as usize {
            self.places.resize(slot as usize + 1, ListPlace::default());
        }
        let digits = u64::BITS - amount.leading_zeros();
        let Some(place) = self.places.get_mut(slot as usize) else { return };
        if place.digits == digits {
            return;
        }
        let before = std::mem::replace(place, ListPlace { digits, index: 0 });
        if before.digits > 0
            && let Some(list) = self.by_digits.get_mut(before.digits as usize)
            && list.len() > before.index as usize
        {
            list.swap_remove(before.index as usize);
            if let Some(moved) = list.get(before.index as usize)
                && let Some(place) = self.places.get_mut(*moved as usize)
            {
                place.index = before.index;
            }
        }
        if digits > 0 {
            if self.by_digits.len() <= digits as usize {
                self.by_digits.resize_with(digits as usize + 1, Vec::new);
            }
            if let Some(list) = self.by_digits.get_mut(digits as usize)
                && let Some(place) = self.places.get_mut(slot as usize)
            {
                place.index = u32::try_from(list.len()).unwrap_or(u32::MAX);
                list.push(slot);
            }
        }
    }

    fn most(&self) -> Option<u32> {
        self.by_digits.iter().rev().find_map(|list| list.last().copied())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_stream_holds_twice_as_much_as_the_chosen_one(
            steps in proptest::collection::vec((0_u32..6, 0_u64..40), 1..80),
        ) {
            let mut ranks = Ranks::default();
            let mut amounts = [0_u64; 6];
            for (slot, amount) in steps {
                ranks.set(slot, amount);
                amounts[slot as usize] = amount;
                let most = amounts.iter().copied().max().unwrap_or(0);
                match ranks.most() {
                    Some(named) => prop_assert!(amounts[named as usize] * 2 > most),
                    None => prop_assert_eq!(most, 0),
                }
                let listed: usize = ranks.by_digits.iter().map(Vec::len).sum();
                prop_assert_eq!(listed, amounts.iter().filter(|amount| **amount > 0).count());
            }
        }
    }
}
