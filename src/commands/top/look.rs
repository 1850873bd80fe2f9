//! One look at a process: its metrics now, and at the look before.

use std::time::Instant;

use lockstep_http::client::Scrape;

/// The metrics of a process now and at the look before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    pub(super) now: &'a Scrape,
    pub(super) at: Instant,
    before: Option<(&'a Scrape, f64)>,
}

impl<'a> Look<'a> {
    /// A look at a time, with the look before if there was one.
    pub(super) fn new(now: &'a Scrape, at: Instant, before: Option<&'a (Scrape, Instant)>) -> Self {
        let before = before.map(|(before, then)| (before, at.duration_since(*then).as_secs_f64()));
        Self { now, at, before }
    }

    /// The rate of a counter since the last look. None at the first.
    pub(super) fn per_second(&self, name: &str) -> Option<f64> {
        let (before, seconds) = self.before?;
        Some(self.now.grown(before, name) / seconds.max(1e-3))
    }

    /// [`Scrape::recorded`] since the last look. None at the first.
    pub(super) fn recorded(&self, name: &str, label: (&str, &str)) -> Option<(f64, f64)> {
        self.before.and_then(|(before, _)| self.now.recorded(before, name, Some(label)))
    }
}
