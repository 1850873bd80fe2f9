//! One look at a process: what it tells, and what it told before.

use std::time::Instant;

use super::metrics::Scrape;

/// What a process tells, beside what it told at the look before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    pub(super) now: &'a Scrape,
    pub(super) at: Instant,
    before: Option<(&'a Scrape, f64)>,
}

impl<'a> Look<'a> {
    /// A look at a time, after another or as the first.
    pub(super) fn new(now: &'a Scrape, at: Instant, before: Option<&'a (Scrape, Instant)>) -> Self {
        let before = before.map(|(before, then)| (before, at.duration_since(*then).as_secs_f64()));
        Self { now, at, before }
    }

    /// By how much a counter has grown in a second since the last look; none at the first.
    pub(super) fn per_second(&self, name: &str) -> Option<f64> {
        let (before, seconds) = self.before?;
        Some(self.now.grown(before, name) / seconds.max(1e-3))
    }

    /// As [`Scrape::recorded`] since the last look; none at the first.
    pub(super) fn recorded(&self, name: &str, label: (&str, &str)) -> Option<(f64, f64)> {
        self.before.and_then(|(before, _)| self.now.recorded(before, name, Some(label)))
    }
}
