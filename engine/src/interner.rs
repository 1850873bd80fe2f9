//! A cache of names, so that a name is allocated once and not once a record.

use std::borrow::Borrow;
use std::hash::{BuildHasher, BuildHasherDefault, Hash};

use rustc_hash::FxHasher;

/// Shared names in a fixed number of places. Of names with the same place, the latest is kept.
#[derive(Debug)]
pub struct Interner<K> {
    places: Box<[Option<K>]>,
    bits: u32,
}

impl<K: Clone> Interner<K> {
    /// An empty cache with 2 to the power of `bits` places; 1 to 32 bits.
    pub fn new(bits: u32) -> Self {
        let bits = bits.clamp(1, 32);
        Self { places: vec![None; 1 << bits].into(), bits }
    }

    /// The shared name that equals this one. If there is none, `make` allocates it.
    pub fn get<N: Eq + Hash + ?Sized>(&mut self, name: &N, make: impl FnOnce(&N) -> K) -> K
    where
        K: Borrow<N>,
    {
        let hash = BuildHasherDefault::<FxHasher>::default().hash_one(name);
        // The high bits of this hash are the well-mixed ones.
        let place = usize::try_from(hash >> (u64::BITS - self.bits)).unwrap_or(0);
        match self.places.get_mut(place) {
            Some(Some(known)) if (*known).borrow() == name => known.clone(),
            Some(place) => place.insert(make(name)).clone(),
            None => make(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn interner_shares_a_repeated_name_and_never_mixes_names() {
        let mut known = Interner::new(6);
        let make = |name: &[u8]| Bytes::copy_from_slice(name);
        let first = known.get(b"cam-1".as_slice(), make);
        assert_eq!(first.as_ptr(), known.get(b"cam-1".as_slice(), make).as_ptr());
        for number in 0..10_000 {
            let name = format!("cam-{number}");
            assert_eq!(known.get(name.as_bytes(), make), name);
        }
    }
}
