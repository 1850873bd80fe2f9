//! The part of a backlog that is older than the target.

use std::time::Duration;

use super::measures::Measures;
use super::spec::ScalingTarget;

/// Records to process, in addition to those that arrive, until the oldest event is under its target age.
///
/// The backlog is assumed to be spread evenly over its age: `lag × (1 − target / age)`. If the age is unknown, it is
/// estimated as the lag divided by the arrival rate (J. Little, "A Proof for the Queuing Formula L = λW", 1961). The
/// result never exceeds the lag, so a wrong age alone, as of a source with a wrong clock, requires no units.
fn excess(measures: &Measures, target: &ScalingTarget) -> f64 {
    let lag = measures.lag as f64;
    let arrival = measures.arrival.unwrap_or(0.0).max(0.0);
    let age = match measures.age {
        Some(age) => age.as_secs_f64(),
        None if measures.lag == 0 => 0.0,
        None if arrival > 0.0 => lag / arrival,
        None => f64::INFINITY,
    };
    let target = target.age.as_secs_f64();
    if age <= target { 0.0 } else { lag * (1.0 - target / age) }
}

/// Tracks a backlog from the moment it is too old until it is not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    /// The largest excess since then.
    peak: f64,
}

impl Backlog {
    /// Looks at the measures.
    pub(super) fn look(&mut self, measures: &Measures, target: &ScalingTarget) {
        let excess = excess(measures, target);
        self.peak = if excess > 0.0 { self.peak.max(excess) } else { 0.0 };
    }

    /// Records per second to process in addition to those that arrive: the peak of the excess divided by the drain
    /// time. The rate stays constant until the backlog is drained, so draining ends in time.
    pub(super) fn drain(&self, within: Duration) -> f64 {
        self.peak / within.as_secs_f64().max(1e-3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: ScalingTarget =
        ScalingTarget { age: Duration::from_secs(5), drain_within: Duration::from_secs(60), busy: 0.8 };

    fn measures(lag: u64, age: Option<u64>, arrival: f64) -> Measures {
        Measures { lag, age: age.map(Duration::from_secs), arrival: Some(arrival), ..Measures::default() }
    }

    #[test]
    fn excess_counts_only_records_older_than_the_target() {
        assert_eq!(excess(&measures(5_000, Some(5), 1_000.0), &TARGET), 0.0);
        assert_eq!(excess(&measures(10_000, Some(10), 1_000.0), &TARGET), 5_000.0);
        assert_eq!(excess(&measures(10_000, None, 1_000.0), &TARGET), 5_000.0, "by Little's law");
        assert_eq!(excess(&measures(10_000, None, 0.0), &TARGET), 10_000.0, "nothing arrives");
        assert_eq!(excess(&measures(0, None, 0.0), &TARGET), 0.0);
        assert_eq!(excess(&measures(0, Some(86_400), 10.0), &TARGET), 0.0, "a wrong clock");
    }

    #[test]
    fn drain_rate_stays_until_the_backlog_is_young_enough() {
        let mut backlog = Backlog::default();
        backlog.look(&measures(10_000, Some(10), 1_000.0), &TARGET);
        backlog.look(&measures(65_000, Some(65), 1_000.0), &TARGET);
        assert_eq!(backlog.drain(TARGET.drain_within), 1_000.0);
        backlog.look(&measures(6_000, Some(6), 1_000.0), &TARGET);
        assert_eq!(backlog.drain(TARGET.drain_within), 1_000.0);
        backlog.look(&measures(5_000, Some(5), 1_000.0), &TARGET);
        assert_eq!(backlog.drain(TARGET.drain_within), 0.0);
    }
}
