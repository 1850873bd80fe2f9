//! Reproducible pseudorandom numbers.

/// The generator SplitMix64 (G. Steele, D. Lea and C. Flood, "Fast splittable pseudorandom number generators", OOPSLA
/// 2014). Equal seeds give equal numbers.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator with this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Draws the next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Draws a multiple of 2⁻⁵³ from 0 to below 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Mixes bits: numbers that differ in any bit become numbers that differ in half of them.
pub(crate) fn mix(number: u64) -> u64 {
    SplitMix64::new(number).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generator_draws_the_numbers_of_splitmix64() {
        // The first numbers of the reference implementation in C (S. Vigna, splitmix64.c) from this seed.
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423_u64];
        let mut random = SplitMix64::new(1_234_567);
        assert_eq!([random.next(), random.next(), random.next()], expected);
        assert_eq!(mix(1_234_567), expected[0]);
    }
}
