//! The streams heard last, so that a stream's name is allocated once and not once a record.

use std::hash::{BuildHasher, BuildHasherDefault};

use rustc_hash::FxHasher;

use crate::sample::StreamKey;

/// A cache of names with a fixed number of places; names that meet in one place take turns.
#[derive(Debug)]
pub struct KnownStreams(Box<[Option<StreamKey>]>);

impl KnownStreams {
    /// So many places take half a mebibyte, and of ten thousand streams three in four have one of their own.
    const BITS: u32 = 15;

    /// The stream of that name.
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
    fn a_stream_that_returns_is_shared_and_never_mistaken() {
        let mut known = KnownStreams::default();
        let first = known.of("cam-1");
        assert!(std::ptr::eq(first.as_str(), known.of("cam-1").as_str()));
        for number in 0..100_000 {
            let name = format!("cam-{number}");
            assert_eq!(known.of(&name).as_str(), name);
        }
    }
}
