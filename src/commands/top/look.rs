//! One look at a process: its status now, and at the look before.

use std::time::Instant;

use lockstep_http::{HistogramSnapshot, StatusDocument};

/// The status of a process now and at the look before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    pub(super) now: &'a StatusDocument,
    pub(super) at: Instant,
    before: Option<(&'a StatusDocument, f64)>,
}

impl<'a> Look<'a> {
    /// A look at a time, with the look before if there was one.
    pub(super) fn new(
        now: &'a StatusDocument,
        at: Instant,
        before: Option<&'a (StatusDocument, Instant)>,
    ) -> Self {
        let before = before.map(|(before, then)| (before, at.duration_since(*then).as_secs_f64()));
        Self { now, at, before }
    }

    /// The rate of a count since the last look. None at the first. After a restart of the process, the count begins again.
    pub(super) fn per_second(&self, count: impl Fn(&StatusDocument) -> u64) -> Option<f64> {
        let (before, seconds) = self.before?;
        let (now, then) = (count(self.now), count(before));
        Some(now.checked_sub(then).unwrap_or(now) as f64 / seconds.max(1e-3))
    }

    /// The latencies of a part of the pipeline since the last look. None at the first.
    pub(super) fn latency(&self, part: &str) -> Option<HistogramSnapshot> {
        let (before, _) = self.before?;
        let now = self.now.results.latency_seconds.get(part)?;
        Some(before.results.latency_seconds.get(part).map_or_else(|| now.clone(), |before| now.since(before)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rate_of_a_restarted_process_counts_from_its_start() {
        let acknowledged = |count| {
            let mut status = StatusDocument::default();
            status.results.acknowledged = count;
            status
        };
        let began = Instant::now();
        let rate = |before, now| {
            let (before, now) = ((acknowledged(before), began), acknowledged(now));
            let look = Look::new(&now, began + Duration::from_secs(1), Some(&before));
            look.per_second(|status| status.results.acknowledged)
        };
        assert_eq!((rate(100, 107), rate(100, 7)), (Some(7.0), Some(7.0)));
    }
}
