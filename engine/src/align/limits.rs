//! The limits of approximate time, made ready for the search.

use smallvec::SmallVec;

use super::policy::{ApproximateTime, Method};
use crate::time::nanos;

/// The limits for all streams, in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct SearchLimits {
    /// The most samples of an input that are held.
    pub(super) queue: usize,
    /// The widest set that is formed.
    pub(super) max_interval: i64,
    /// In millionths, so that the choice is the same on every machine.
    pub(super) age_penalty: u32,
    /// The shortest time between two samples, by input.
    pub(super) min_period: SmallVec<[i64; 4]>,
}

impl SearchLimits {
    pub(super) fn new(method: &Method) -> Self {
        let settings = match method {
            Method::ApproximateTime(settings) => settings,
            Method::Pivot(_) | Method::Exact | Method::Tumbling { .. } | Method::Session { .. } => {
                &ApproximateTime::default()
            }
        };
        Self {
            queue: settings.queue.max(1),
            max_interval: settings.max_interval.map_or(i64::MAX, nanos),
            // A cast to an integer saturates, and makes 0 of a NaN.
            age_penalty: (settings.age_penalty * 1e6).round() as u32,
            min_period: settings.min_periods.iter().copied().map(nanos).collect(),
        }
    }

    /// Returns true if ending later by `later` is worth starting later by `gain`, where later sets have to be better by the
    /// penalty's factor.
    #[inline]
    pub(super) fn pays(&self, later: i64, gain: i64) -> bool {
        if self.age_penalty == 0 {
            return later < gain;
        }
        let factor = 1_000_000 + i128::from(self.age_penalty);
        i128::from(later) * factor < i128::from(gain) * 1_000_000
    }

    pub(super) fn min_period(&self, input: usize) -> i64 {
        self.min_period.get(input).copied().unwrap_or(0)
    }
}
