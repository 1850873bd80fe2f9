//! A cache of stream keys, so that a key is allocated once and not once a record.

use crate::interner::Interner;
use crate::sample::StreamKey;

/// The keys of streams that have been read.
#[derive(Debug)]
pub struct KnownStreams(Interner<StreamKey>);

impl KnownStreams {
    /// The binary logarithm of the number of places. They take half a mebibyte. Of ten thousand streams three in four
    /// have a place of their own.
    const BITS: u32 = 15;

    /// The key of the stream with that name.
    pub fn of(&mut self, name: &str) -> StreamKey {
        self.0.get(name, |name| StreamKey::from(name))
    }
}

impl Default for KnownStreams {
    fn default() -> Self {
        Self(Interner::new(Self::BITS))
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
