//! A queue of which the first few items lie in place: what a stream holds of an input is usually a handful, and with
//! many streams each heap block is one more line of memory that is not in the cache.

use std::collections::VecDeque;

use smallvec::SmallVec;

/// A queue in some order. Up to `N` items lie within it, more in a block of their own, until it is empty again.
#[derive(Debug)]
pub(super) enum Queue<T, const N: usize> {
    Few(SmallVec<[T; N]>),
    Many(VecDeque<T>),
}

impl<T, const N: usize> Queue<T, N> {
    pub(super) fn new() -> Self {
        Self::Few(SmallVec::new())
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(few) => few.len(),
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
            Self::Few(few) => few.get_mut(index),
            Self::Many(many) => many.get_mut(index),
        }
    }

    #[inline]
    pub(super) fn front(&self) -> Option<&T> {
        self.get(0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, two) = match self {
            Self::Few(few) => (few.as_slice(), [].as_slice()),
            Self::Many(many) => many.as_slices(),
        };
        one.iter().chain(two)
    }

    /// How many items come first of which `before` is true; it is true for none after one of which it is not.
    #[inline]
    pub(super) fn partition_point(&self, before: impl FnMut(&T) -> bool) -> usize {
        match self {
            Self::Few(few) => few.partition_point(before),
            Self::Many(many) => many.partition_point(before),
        }
    }

    /// Puts an item at `index`, which is at most the length, before what has been there.
    #[inline]
    pub(super) fn insert(&mut self, index: usize, item: T) {
        match self {
            Self::Few(few) if few.len() < N => {
                if index >= few.len() {
                    few.push(item);
                } else {
                    few.insert(index, item);
                }
            }
            Self::Few(few) => *self = Self::Many(spill(few.drain(..), N, index, item)),
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
            Self::Few(few) => (!few.is_empty()).then(|| few.remove(0)),
            Self::Many(many) => {
                let first = many.pop_front();
                if many.is_empty() {
                    *self = Self::new();
                }
                first
            }
        }
    }
}

#[cold]
fn spill<T>(few: impl Iterator<Item = T>, len: usize, index: usize, item: T) -> VecDeque<T> {
    let mut many = VecDeque::with_capacity(2 * len + 1);
    many.extend(few);
    many.insert(index.min(many.len()), item);
    many
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_queue_however_much_it_holds(steps in proptest::collection::vec(any::<Option<u8>>(), 0..60)) {
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
                prop_assert_eq!(queue.get_mut(1), plain.get_mut(1));
            }
        }
    }
}
