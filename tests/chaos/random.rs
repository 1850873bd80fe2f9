//! Chance that can be had again.

use std::time::Duration;

/// A generator of numbers: xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators,
/// scrambled", 2016).
pub(crate) struct Random(u64);

impl Random {
    /// The seed of `LOCKSTEP_CHAOS_SEED`, or a new one each time.
    pub(crate) fn seed() -> u64 {
        let given = std::env::var("LOCKSTEP_CHAOS_SEED").ok();
        let another = || lockstep_engine::time::Timestamp::now().as_nanos().unsigned_abs();
        given.map_or_else(another, |text| text.parse().expect("LOCKSTEP_CHAOS_SEED is a whole number"))
    }

    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) * limit) >> 32
    }

    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}
