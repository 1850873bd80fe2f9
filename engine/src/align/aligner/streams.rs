//! The table of streams, by slot and by key.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::super::stream::Stream;
use super::slots::Slots;
use crate::sample::StreamKey;

/// The streams, by slot and by key.
///
/// The index from a key to its slot stores the slot alone, five bytes an entry: the key is in the stream, which is read
/// next anyway. So the index of a hundred thousand streams still fits the processor's cache.
#[derive(Debug)]
pub(super) struct Streams<T> {
    slots: Slots<Stream<T>>,
    by_key: HashTable<u32>,
}

impl<T> Streams<T> {
    pub(super) fn new() -> Self {
        Self { slots: Slots::new(), by_key: HashTable::new() }
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&Stream<T>> {
        self.slots.get(slot)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Stream<T>> {
        self.slots.get_mut(slot)
    }

    /// The slot of a stream, if it is known.
    #[inline]
    pub(super) fn find(&self, key: &StreamKey) -> Option<u32> {
        self.by_key.find(hash(key), |slot| has_key(&self.slots, *slot, key)).copied()
    }

    /// Gives a new stream a slot.
    pub(super) fn insert(&mut self, stream: Stream<T>) -> u32 {
        let hash = hash(&stream.key);
        let slot = self.slots.insert(stream);
        self.by_key.insert_unique(hash, slot, |slot| hash_at(&self.slots, *slot));
        slot
    }

    pub(super) fn take(&mut self, slot: u32) -> Option<Stream<T>> {
        let stream = self.slots.take(slot)?;
        if let Ok(entry) = self.by_key.find_entry(hash(&stream.key), |other| *other == slot) {
            entry.remove();
        }
        Some(stream)
    }

    /// The number of streams.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The number of slots, taken or not.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The streams, in the order of their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream<T>> {
        self.slots.iter()
    }

    /// The streams, in the order of their slots.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream<T>> {
        self.slots.iter_mut()
    }

    /// Moves the streams together, in the order of their slots, and frees the other memory. Returns the slots that they
    /// had.
    pub(super) fn compact(&mut self) -> Vec<u32> {
        let moved = self.slots.compact();
        self.by_key = HashTable::with_capacity(moved.len());
        for (slot, stream) in (0_u32..).zip(self.slots.iter()) {
            self.by_key.insert_unique(hash(&stream.key), slot, |slot| hash_at(&self.slots, *slot));
        }
        moved
    }

    /// The number of entries that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.slots.capacity() + self.by_key.capacity()
    }
}

#[inline]
fn hash(key: &StreamKey) -> u64 {
    FxBuildHasher.hash_one(key)
}

#[inline]
fn has_key<T>(slots: &Slots<Stream<T>>, slot: u32, key: &StreamKey) -> bool {
    slots.get(slot).is_some_and(|stream| stream.key == *key)
}

/// The hash of the stream in a slot; every listed slot has one.
fn hash_at<T>(slots: &Slots<Stream<T>>, slot: u32) -> u64 {
    slots.get(slot).map_or(0, |stream| hash(&stream.key))
}
