//! How values are distributed, in bounded memory.

use serde_json::{Value, json};

/// The relative precision of values: one part in 2^6, as in an HDR histogram.
const BITS: u32 = 6;

/// A histogram of values of at least 0, such as nanoseconds. Percentiles are right to 1.6 %, the largest exactly.
#[derive(Clone, Debug, Default)]
pub(super) struct Distribution {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Distribution {
    pub(super) fn add(&mut self, value: u64) {
        let bucket = bucket(value);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.max = self.max.max(value);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The median, the 95th and 99th percentile and the largest.
    pub(super) fn quantiles(&self) -> Option<[u64; 4]> {
        (self.count > 0).then(|| [self.percentile(50), self.percentile(95), self.percentile(99), self.max])
    }

    pub(super) fn json(&self) -> Value {
        match self.quantiles() {
            Some([p50, p95, p99, max]) => {
                json!({"count": self.count, "p50": p50, "p95": p95, "p99": p99, "max": max})
            }
            None => Value::Null,
        }
    }

    fn percentile(&self, percent: u64) -> u64 {
        let rank = self.count.saturating_mul(percent).div_ceil(100);
        let mut below = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            below += count;
            if below >= rank {
                return largest_of(bucket).min(self.max);
            }
        }
        self.max
    }
}

/// Values below 2^(BITS + 1) have a bucket each; above, each power of two has 2^BITS.
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    ((u64::from(shift) << BITS) + (value >> shift)) as usize
}

fn largest_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket >> BITS).saturating_sub(1);
    let mantissa = bucket - (shift << BITS);
    let end = u128::from(mantissa + 1) << shift;
    u64::try_from(end - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_less_than_two_percent_at_any_size() {
        for unit in [1, 1_000, 7_000_000, 1 << 50] {
            let mut distribution = Distribution::default();
            (1..=1000).rev().for_each(|n| distribution.add(n * unit));
            let [p50, p95, p99, max] = distribution.quantiles().expect("values");
            for (told, truly) in [(p50, 500), (p95, 950), (p99, 990)] {
                let truly = truly * unit;
                assert!(told >= truly && told - truly <= truly / 60, "{told}, truly {truly}");
            }
            assert_eq!(max, 1000 * unit);
        }
    }

    #[test]
    fn every_value_lies_in_its_bucket() {
        let values = (0..500).chain((0..64).map(|bit| 1 << bit)).chain((0..64).map(|bit| u64::MAX >> bit));
        for value in values {
            let largest = largest_of(bucket(value));
            assert!(largest >= value && (largest - value) as f64 <= value as f64 / 60.0, "{value} {largest}");
        }
        assert_eq!(Distribution::default().quantiles(), None);
    }
}
