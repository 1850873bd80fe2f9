//! Latencies of results, summed up before they are reported. At a hundred thousand results a second, seven histogram
//! updates for each result would cost more than some of the results themselves.

use std::time::Duration;

use crate::publish::result::Timing;
use crate::time::nanos;

/// The parts of a result's latency, in the order in which a bundle goes through them, and the whole.
pub(super) const PARTS: [&str; 7] = ["kafka", "align", "batch", "preprocess", "model", "publish", "total"];

/// The latencies of the results since the last report.
#[derive(Debug, Default)]
pub struct Latencies {
    results: u64,
    parts: [Tally; PARTS.len()],
}

impl Latencies {
    /// Adds a result whose acknowledgement came `publish` after it was sent.
    pub fn add(&mut self, timing: &Timing, publish: Duration) {
        self.results += 1;
        let publish = nanos(publish);
        let Timing { kafka, align, batch, preprocess, model } = *timing;
        let values = [kafka, align, batch, preprocess, model, publish, timing.total() + publish];
        for (tally, nanos) in self.parts.iter_mut().zip(values) {
            tally.add(u64::try_from(nanos).unwrap_or(0));
        }
    }

    pub(super) fn take_results(&mut self) -> u64 {
        std::mem::take(&mut self.results)
    }

    pub(super) fn parts(&mut self) -> impl Iterator<Item = &mut Tally> {
        self.parts.iter_mut()
    }
}

/// Counts of durations in buckets: the durations of one are within an eighth of one another. Their sum is exact.
#[derive(Debug)]
pub(super) struct Tally(Box<[(u64, u64)]>);

impl Default for Tally {
    fn default() -> Self {
        Self(vec![(0, 0); 64 << Self::FINE].into())
    }
}

impl Tally {
    /// The binary logarithm of the number of buckets of each power of two.
    const FINE: u32 = 3;

    fn add(&mut self, nanos: u64) {
        let magnitude = nanos.checked_ilog2().unwrap_or(0);
        let within = (nanos << (63 - magnitude)) >> (63 - Self::FINE) & ((1 << Self::FINE) - 1);
        let place = usize::try_from(u64::from(magnitude) << Self::FINE | within).unwrap_or(0);
        if let Some((count, sum)) = self.0.get_mut(place) {
            *count += 1;
            *sum = sum.saturating_add(nanos);
        }
    }

    /// Reports the mean and the count of each bucket that is not empty, and clears it.
    pub(super) fn drain(&mut self, mut report: impl FnMut(f64, usize)) {
        for (count, sum) in self.0.iter_mut().filter(|(count, _)| *count > 0) {
            report(*sum as f64 / *count as f64, usize::try_from(*count).unwrap_or(usize::MAX));
            (*count, *sum) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn latency_report_keeps_count_and_sum_within_an_eighth(
            values in prop::collection::vec(0_u64..1 << 50, 0..200),
        ) {
            let mut tally = Tally::default();
            values.iter().for_each(|value| tally.add(*value));
            let mut reported: Vec<(f64, usize)> = Vec::new();
            tally.drain(|nanos, count| reported.push((nanos, count)));
            prop_assert_eq!(reported.iter().map(|(_, count)| count).sum::<usize>(), values.len());
            let sum: f64 = reported.iter().map(|(nanos, count)| nanos * *count as f64).sum();
            let exact = values.iter().sum::<u64>() as f64;
            prop_assert!((sum - exact).abs() <= exact * 1e-9 + 1e-3);
            for value in values.iter().map(|value| *value as f64) {
                prop_assert!(reported.iter().any(|(nanos, _)| (nanos - value).abs() <= value / 8.0 + 1.0));
            }
            tally.drain(|_, _| unreachable!("the tally is empty"));
        }
    }
}
