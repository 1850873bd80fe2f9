//! The values of a histogram at one time.

use serde::{Deserialize, Serialize};

/// The values of a histogram from the start of the process to one time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistogramSnapshot {
    /// The number of values.
    pub count: u64,
    /// The sum of all values.
    pub sum: f64,
    /// The buckets, in ascending order. A value is counted in one of them.
    pub buckets: Vec<Bucket>,
}

/// The values within one bucket of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bucket {
    /// The largest value of the bucket. None for the last one, which has no bound.
    pub up_to: Option<f64>,
    /// The number of values in this bucket alone.
    pub count: u64,
}

impl HistogramSnapshot {
    /// The values since an earlier snapshot; all values if the process has restarted.
    pub fn since(&self, before: &Self) -> Self {
        if self.count < before.count {
            return self.clone();
        }
        let earlier = |bucket: &Bucket| {
            let same = before.buckets.iter().find(|earlier| earlier.up_to == bucket.up_to);
            same.map_or(0, |earlier| earlier.count)
        };
        let buckets = self
            .buckets
            .iter()
            .map(|bucket| Bucket { count: bucket.count.saturating_sub(earlier(bucket)), ..*bucket });
        Self { count: self.count - before.count, sum: self.sum - before.sum, buckets: buckets.collect() }
    }

    /// The mean. None without values.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The bound of the bucket that holds the quantile `share`, from 0 to 1: infinity for the last bucket. None without values.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.count as f64;
        let mut below = 0;
        let mut buckets = self.buckets.iter();
        let holds = buckets.find(|bucket| {
            below += bucket.count;
            below as f64 >= rank
        });
        (self.count > 0).then(|| holds.and_then(|bucket| bucket.up_to).unwrap_or(f64::INFINITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Buckets up to 0.1, up to 1, and above.
    fn snapshot([tenth, one, above]: [u64; 3], sum: f64) -> HistogramSnapshot {
        let bounds = [Some(0.1), Some(1.0), None];
        let buckets = bounds.into_iter().zip([tenth, one, above]);
        HistogramSnapshot {
            count: tenth + one + above,
            sum,
            buckets: buckets.map(|(up_to, count)| Bucket { up_to, count }).collect(),
        }
    }

    #[test]
    fn snapshot_gives_mean_and_quantile_of_the_time_since_another() {
        let (before, now) = (snapshot([100, 0, 0], 5.0), snapshot([150, 50, 0], 30.0));
        let since = now.since(&before);
        assert_eq!(since, snapshot([50, 50, 0], 25.0));
        assert_eq!(
            (since.mean(), since.quantile(0.5), since.quantile(0.99)),
            (Some(0.25), Some(0.1), Some(1.0))
        );
        assert_eq!((now.since(&now).mean(), now.since(&now).quantile(0.99)), (None, None));
        assert_eq!(snapshot([1, 0, 9], 90.0).quantile(0.99), Some(f64::INFINITY));
    }

    #[test]
    fn snapshot_of_a_restarted_process_counts_all_its_values() {
        let (before, now) = (snapshot([100, 0, 0], 5.0), snapshot([7, 0, 0], 0.5));
        assert_eq!(now.since(&before), now);
    }
}
