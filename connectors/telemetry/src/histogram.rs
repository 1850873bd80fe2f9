//! A histogram that counts each value at once. One that keeps every value until the next scrape would cost memory and time
//! for each value, without end where nothing scrapes.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::HistogramFn;

use super::snapshot::{Bucket, HistogramSnapshot};

/// The counts of one histogram.
pub(super) struct Buckets {
    /// The largest value of each bucket; ascending.
    bounds: &'static [f64],
    /// The number of values in each bucket, and above the last.
    counts: Box<[AtomicU64]>,
    /// The bits of the sum.
    sum: AtomicU64,
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        let Some(bucket) = self.counts.get(place) else { return };
        bucket.fetch_add(count as u64, Ordering::Relaxed);
        let added = value * count as f64;
        let add = |sum| Some((f64::from_bits(sum) + added).to_bits());
        // `fetch_update` repeats until it succeeds, as `add` always returns a value.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl Buckets {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    pub(super) fn snapshot(&self) -> HistogramSnapshot {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        let buckets = bounds.zip(&self.counts);
        let buckets = buckets.map(|(up_to, count)| Bucket { up_to, count: count.load(Ordering::Relaxed) });
        let buckets: Vec<Bucket> = buckets.collect();
        HistogramSnapshot {
            count: buckets.iter().map(|bucket| bucket.count).sum(),
            sum: f64::from_bits(self.sum.load(Ordering::Relaxed)),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_counts_each_value_in_one_bucket() {
        let histogram = Buckets::new(&[0.5, 1.0]);
        histogram.record(0.5);
        histogram.record_many(0.75, 3);
        histogram.record(7.0);
        let snapshot = histogram.snapshot();
        let counts: Vec<u64> = snapshot.buckets.iter().map(|bucket| bucket.count).collect();
        assert_eq!((counts, snapshot.count, snapshot.sum), (vec![1, 3, 1], 5, 9.75));
        assert_eq!(snapshot.buckets.last().map(|bucket| bucket.up_to), Some(None));
    }
}
