//! A queue that stores its first few items in place. A stream usually holds a handful of samples of an input, and with
//! many streams each heap block is one more line of memory that is not in the cache.

use std::collections::VecDeque;
use std::num::NonZeroU32;

/// An ordered queue. Up to `N` items lie within it, more in a block of their own, until it is empty again.
#[derive(Debug)]
pub(super) enum Queue<T, const N: usize> {
    Few(Ring<T, N>),
    Many(VecDeque<T>),
}

/// Up to `N` items in a ring: the first leaves without moving the others.
#[derive(Debug)]
pub(super) struct Ring<T, const N: usize> {
    /// The place of the first item, counted from 1: no place is 0, so the other kind of queue needs no extra word.
    head: NonZeroU32,
    len: u32,
    places: [Option<T>; N],
}

impl<T, const N: usize> Ring<T, N> {
    /// The place of the first item.
    #[inline]
    fn first(&self) -> usize {
        self.head.get() as usize - 1
    }

    /// The place of the item at `index`, which is less than `N`.
    #[inline]
    fn place(&self, index: usize) -> usize {
        let place = self.first() + index;
        if place < N { place } else { place - N }
    }

    #[inline]
    fn get(&self, index: usize) -> Option<&T> {
        if index >= N {
            return None;
        }
        // The places behind the last item are empty.
        self.places.get(self.place(index))?.as_ref()
    }

    #[inline]
    fn pop_front(&mut self) -> Option<T> {
        let place = self.first();
        let first = self.places.get_mut(place)?.take()?;
        self.head =
            if (self.head.get() as usize) < N { self.head.saturating_add(1) } else { NonZeroU32::MIN };
        self.len -= 1;
        Some(first)
    }

    fn remove(&mut self, index: usize) -> Option<T> {
        let last = (self.len as usize).checked_sub(1)?;
        for at in index..last {
            let (one, two) = (self.place(at), self.place(at + 1));
            self.places.swap(one, two);
        }
        let end = self.place(last);
        let removed = self.places.get_mut(end)?.take()?;
        self.len -= 1;
        Some(removed)
    }

    /// Puts an item at `index`. There has to be room.
    #[inline]
    fn insert(&mut self, index: usize, item: T) {
        let mut at = self.len as usize;
        let end = self.place(at);
        if let Some(place) = self.places.get_mut(end) {
            *place = Some(item);
            self.len += 1;
        }
        while at > index {
            let (one, two) = (self.place(at - 1), self.place(at));
            self.places.swap(one, two);
            at -= 1;
        }
    }
}

impl<T, const N: usize> Queue<T, N> {
    pub(super) fn new() -> Self {
        Self::Few(Ring { head: NonZeroU32::MIN, len: 0, places: [const { None }; N] })
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(few) => few.len as usize,
            Self::Many(many) => many.len(),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        match self {
            Self::Few(few) => few.get(index),
            Self::Many(many) => many.get(index),
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        match self {
            Self::Few(_) if index >= N => None,
            Self::Few(few) => {
                let place = few.place(index);
                few.places.get_mut(place)?.as_mut()
            }
            Self::Many(many) => many.get_mut(index),
        }
    }

    #[inline]
    pub(super) fn front(&self) -> Option<&T> {
        self.get(0)
    }

    pub(super) fn back(&self) -> Option<&T> {
        self.len().checked_sub(1).and_then(|last| self.get(last))
    }

    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len()).map_while(|index| self.get(index))
    }

    /// The number of first items of which `before` is true; it has to be false for all after them.
    #[inline]
    pub(super) fn partition_point(&self, mut before: impl FnMut(&T) -> bool) -> usize {
        match self {
            Self::Few(few) => {
                let mut len = few.len as usize;
                while let Some(last) = len.checked_sub(1).and_then(|last| few.get(last))
                    && !before(last)
                {
                    len -= 1;
                }
                len
            }
            Self::Many(many) => many.partition_point(before),
        }
    }

    /// Puts an item at `index`, which is at most the length, before the one that was there.
    #[inline]
    pub(super) fn insert(&mut self, index: usize, item: T) {
        match self {
            Self::Few(few) if (few.len as usize) < N => few.insert(index, item),
            Self::Few(few) => *self = Self::Many(spill(few, index, item)),
            Self::Many(many) => {
                if index >= many.len() {
                    many.push_back(item);
                } else {
                    many.insert(index, item);
                }
            }
        }
    }

    #[inline]
    pub(super) fn pop_front(&mut self) -> Option<T> {
        match self {
            Self::Few(few) => few.pop_front(),
            Self::Many(many) => {
                let first = many.pop_front();
                if many.is_empty() {
                    *self = Self::new();
                }
                first
            }
        }
    }

    /// Takes the item at `index` out.
    pub(super) fn remove(&mut self, index: usize) -> Option<T> {
        match self {
            Self::Few(few) if index < few.len as usize => few.remove(index),
            Self::Few(_) => None,
            Self::Many(many) => {
                let removed = many.remove(index);
                if many.is_empty() {
                    *self = Self::new();
                }
                removed
            }
        }
    }
}

#[cold]
fn spill<T, const N: usize>(few: &mut Ring<T, N>, index: usize, item: T) -> VecDeque<T> {
    let mut many = VecDeque::with_capacity(2 * N + 1);
    while let Some(first) = few.pop_front() {
        many.push_back(first);
    }
    many.insert(index.min(many.len()), item);
    many
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_queue_keeps_its_order_at_any_length(
            steps in proptest::collection::vec(any::<Option<u8>>(), 0..60),
            taken in any::<[u8; 8]>(),
        ) {
            let mut queue = Queue::<Box<u8>, 3>::new();
            let mut plain = Vec::new();
            for step in steps {
                match step {
                    Some(number) => {
                        let at = usize::from(number) % (plain.len() + 1);
                        plain.insert(at, Box::new(number));
                        queue.insert(at, Box::new(number));
                    }
                    None => {
                        let first = (!plain.is_empty()).then(|| plain.remove(0));
                        prop_assert_eq!(queue.pop_front(), first);
                    }
                }
                prop_assert!(queue.iter().eq(&plain));
                prop_assert_eq!((queue.len(), queue.is_empty()), (plain.len(), plain.is_empty()));
                prop_assert_eq!((queue.front(), queue.get(4)), (plain.first(), plain.get(4)));
                prop_assert_eq!(queue.back(), plain.last());
                prop_assert_eq!(queue.get_mut(1), plain.get_mut(1));
            }
            for at in taken {
                let at = usize::from(at) % (plain.len() + 1);
                prop_assert_eq!(queue.remove(at), (at < plain.len()).then(|| plain.remove(at)));
                prop_assert!(queue.iter().eq(&plain));
            }
        }
    }
}
