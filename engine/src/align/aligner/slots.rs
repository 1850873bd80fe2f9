//! The memory of the streams: each lies in a slot, and the slots lie in blocks that never move. In one vector all streams
//! would be copied whenever it grows, with a pause that grows with their number.

/// The most bytes of a block: allocators have this size class, so that no memory is lost to rounding.
const BYTES: usize = 64 << 10;

/// Items by slot. A slot that was freed is taken again.
#[derive(Debug)]
pub(super) struct Slots<T> {
    /// All but the last are full of places; `None` marks one that `free` lists.
    blocks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
}

impl<T> Slots<T> {
    /// The number of places in a block.
    const BLOCK: usize = if size_of::<Option<T>>() < BYTES { BYTES / size_of::<Option<T>>() } else { 1 };

    pub(super) fn new() -> Self {
        Self { blocks: Vec::new(), free: Vec::new() }
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.blocks.get(slot as usize / Self::BLOCK)?.get(slot as usize % Self::BLOCK)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.place(slot)?.as_mut()
    }

    fn place(&mut self, slot: u32) -> Option<&mut Option<T>> {
        self.blocks.get_mut(slot as usize / Self::BLOCK)?.get_mut(slot as usize % Self::BLOCK)
    }

    /// Gives an item a slot.
    pub(super) fn insert(&mut self, item: T) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| self.add());
        if let Some(place) = self.place(slot) {
            *place = Some(item);
        }
        slot
    }

    /// A new slot, behind all others.
    fn add(&mut self) -> u32 {
        let slot = u32::try_from(self.len()).unwrap_or(u32::MAX);
        match self.blocks.last_mut() {
            Some(block) if block.len() < Self::BLOCK => block.push(None),
            _ => {
                let mut block = Vec::with_capacity(Self::BLOCK);
                block.push(None);
                self.blocks.push(block);
            }
        }
        slot
    }

    /// Takes an item out of its slot.
    pub(super) fn take(&mut self, slot: u32) -> Option<T> {
        let item = self.place(slot)?.take()?;
        self.free.push(slot);
        Some(item)
    }

    /// The number of slots, taken or not.
    pub(super) fn len(&self) -> usize {
        let last = self.blocks.last().map_or(0, Vec::len);
        self.blocks.len().saturating_sub(1) * Self::BLOCK + last
    }

    /// The items, in the order of their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flatten().flatten()
    }

    /// The items, in the order of their slots.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.blocks.iter_mut().flatten().flatten()
    }

    /// Moves the items together, in the order of their slots, and frees the other memory. Returns the slots that they
    /// had.
    pub(super) fn compact(&mut self) -> Vec<u32> {
        let before = std::mem::replace(self, Self::new());
        let mut slots = Vec::new();
        for (from, item) in (0_u32..).zip(before.blocks.into_iter().flatten()) {
            if let Some(item) = item {
                self.insert(item);
                slots.push(from);
            }
        }
        slots
    }

    /// The number of items that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum::<usize>() + self.free.capacity()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_item_stays_in_its_slot_until_it_is_taken(
            steps in prop::collection::vec((0_u32..4, any::<u32>()), 0..400),
        ) {
            // So large that a block takes but few.
            let item = |number: u32| [number; 2_000];
            let (mut slots, mut known) = (Slots::new(), BTreeMap::new());
            for (what, number) in steps {
                let some = known.keys().nth(number as usize % known.len().max(1)).copied();
                match (what, some) {
                    (0, Some(slot)) => prop_assert_eq!(slots.take(slot), known.remove(&slot)),
                    (1, Some(slot)) => {
                        *slots.get_mut(slot).expect("it is there") = item(number);
                        known.insert(slot, item(number));
                    }
                    (2, _) if number % 16 == 0 => {
                        let moved = slots.compact();
                        prop_assert!(moved.iter().eq(known.keys()));
                        known = (0_u32..).zip(known.into_values()).collect();
                        prop_assert_eq!(slots.len(), known.len());
                    }
                    _ => prop_assert_eq!(known.insert(slots.insert(item(number)), item(number)), None),
                }
                prop_assert!(known.iter().all(|(slot, item)| slots.get(*slot) == Some(item)));
                prop_assert!(slots.iter().eq(known.values()));
            }
        }
    }
}
