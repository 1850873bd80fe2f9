//! Reproducible random arrivals.

use crate::random::SplitMix64;

/// A generator of random numbers of arrivals.
#[derive(Clone, Debug)]
pub(super) struct ArrivalGenerator(SplitMix64);

impl ArrivalGenerator {
    pub(super) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// A number above 0 and at most 1.
    fn unit(&mut self) -> f64 {
        // The logarithm of 0 is not finite, so the interval is open below: each fraction moves up by 2⁻⁵³.
        self.0.fraction() + f64::EPSILON / 2.0
    }

    /// A number of independent arrivals with this mean (Poisson distribution). It multiplies uniform numbers (D. Knuth,
    /// "The Art of Computer Programming", 2, 3.4.1), and approximates large means by the normal distribution (Box and
    /// Muller, 1958).
    pub(super) fn poisson(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        if mean > 30.0 {
            let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
            return (mean + mean.sqrt() * normal).round().max(0.0) as u64;
        }
        let (mut count, mut product, least) = (0, self.unit(), (-mean).exp());
        while product > least {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_have_the_moments_of_a_poisson_distribution() {
        for mean in [0.01, 0.7, 12.0, 200.0] {
            let mut random = ArrivalGenerator::new(7);
            let counts: Vec<f64> = (0..100_000).map(|_| random.poisson(mean) as f64).collect();
            let found = counts.iter().sum::<f64>() / counts.len() as f64;
            let variance =
                counts.iter().map(|count| (count - found).powi(2)).sum::<f64>() / counts.len() as f64;
            assert!((found / mean - 1.0).abs() < 0.1, "{found} for {mean}");
            assert!((variance / mean - 1.0).abs() < 0.1, "{variance} for {mean}");
        }
        assert_eq!(ArrivalGenerator::new(7).poisson(0.0), 0);
    }
}
