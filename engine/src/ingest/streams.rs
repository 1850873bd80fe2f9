//! A cache of stream keys, so that a key is allocated once and not once a record.

use std::hash::{BuildHasher, BuildHasherDefault};

use rustc_hash::FxHasher;

use crate::sample::StreamKey;

/// A cache of names with a fixed number of places. Of names with the same place, the latest is kept.
#[derive(Debug)]
pub struct KnownStreams(Box<[Option<StreamKey>]>);

impl KnownStreams {
    /// The binary logarithm of the number of places. They take half a mebibyte. Of ten thousand streams three in four
    /// have a place of their own.
    const BITS: u32 = 15;

    /// The key of the stream with that name.
    pub fn of(&mut self, name: &str) -> StreamKey {
        let hash = BuildHasherDefault::<FxHasher>::default().hash_one(name);
        // The high bits of this hash are the well-mixed ones.
        let place = usize::try_from(hash >> (u64::BITS - Self::BITS)).unwrap_or(0);
        match self.0.get_mut(place) {
            Some(Some(known)) if known.as_str() == name => known.clone(),
            Some(place) => place.insert(StreamKey::from(name)).clone(),
            None => StreamKey::from(name),
        }
    }
}

impl Default for KnownStreams {
    fn default() -> Self {
        Self(vec![None; 1 << Self::BITS].into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_cache_shares_a_repeated_key_and_never_mixes_keys() {
        let mut known = KnownStreams::default();
        let first = known.of("cam-1");
        assert!(std::ptr::eq(first.as_str(), known.of("cam-1").as_str()));
        for number in 0..100_000 {
            let name = format!("cam-{number}");
            assert_eq!(known.of(&name).as_str(), name);
        }
    }
}
