//! The circuit breaker of a model. A model that keeps failing gets no work for a while, and then a single bundle as a
//! probe (Nygard, "Release It!", 2007, "Circuit Breaker").

use std::time::Duration;

use crate::time::Timestamp;

/// Settings of a circuit breaker: when it opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open the breaker; at least 1.
    pub failures: u32,
    /// Time from opening until the breaker admits one probe.
    pub pause: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failures: 3, pause: Duration::from_secs(5) }
    }
}

/// State of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All work goes to the model.
    Closed,
    /// No work goes to the model.
    Open,
    /// One probe is running; all other work waits for its result.
    HalfOpen,
}

impl BreakerState {
    /// The name in logs and in `/health`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Answer of a breaker to a request to run the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// The request may run.
    Yes,
    /// The request may run, and its result decides on the state. It should be as small as possible.
    Probe,
    /// The request has to wait. While a probe is running, the wait lasts until the probe's time is over.
    No {
        /// When to ask again.
        until: Timestamp,
    },
}

/// A circuit breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: BreakerState,
    in_a_row: u32,
    /// When the breaker opened, or when it admitted the probe.
    since: Timestamp,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: BreakerState::Closed, in_a_row: 0, since: Timestamp::MIN }
    }

    /// Answers a request to run the model. The caller that gets [`Admit::Probe`] must report the result. If no result
    /// comes within a pause, the breaker admits another probe.
    pub fn admit(&mut self, now: Timestamp) -> Admit {
        let until = self.since.after(self.policy.pause);
        match self.state {
            BreakerState::Closed => Admit::Yes,
            _ if now < until => Admit::No { until },
            BreakerState::Open | BreakerState::HalfOpen => {
                self.state = BreakerState::HalfOpen;
                self.since = now;
                Admit::Probe
            }
        }
    }

    /// Records a success of the model, which closes the breaker.
    pub fn succeeded(&mut self) {
        self.in_a_row = 0;
        self.state = BreakerState::Closed;
    }

    /// Records a failure of the model; true if the breaker opens by it, or opens again.
    pub fn failed(&mut self, now: Timestamp) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        let opens = match self.state {
            BreakerState::Closed => self.in_a_row >= self.policy.failures.max(1),
            BreakerState::HalfOpen => true,
            // These runs had started before the breaker opened.
            BreakerState::Open => false,
        };
        if opens {
            self.state = BreakerState::Open;
            self.since = now;
        }
        opens
    }

    /// Opens the breaker at once, since the model cannot be loaded; true if it was not open.
    pub fn trip(&mut self, now: Timestamp) -> bool {
        let opens = self.state != BreakerState::Open;
        self.state = BreakerState::Open;
        self.since = now;
        opens
    }

    /// The current state.
    pub fn state(&self) -> BreakerState {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    fn breaker() -> Breaker {
        Breaker::new(BreakerPolicy { failures: 3, pause: Duration::from_millis(100) })
    }

    fn open() -> Breaker {
        let mut breaker = breaker();
        for _ in 0..3 {
            breaker.failed(at(0));
        }
        breaker
    }

    #[test]
    fn only_failures_in_a_row_open_the_breaker() {
        let mut breaker = breaker();
        assert!(!breaker.failed(at(0)) && !breaker.failed(at(0)));
        breaker.succeeded();
        assert!(!breaker.failed(at(0)) && !breaker.failed(at(0)));
        assert_eq!(breaker.admit(at(0)), Admit::Yes);
        assert!(breaker.failed(at(5)));
        assert_eq!(breaker.admit(at(5)), Admit::No { until: at(105) });
        assert_eq!(breaker.admit(at(104)), Admit::No { until: at(105) });
    }

    #[test]
    fn breaker_closes_after_one_successful_probe() {
        let mut breaker = open();
        assert_eq!(breaker.admit(at(100)), Admit::Probe);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(at(101)), Admit::No { until: at(200) }, "one at a time");
        breaker.succeeded();
        assert_eq!(breaker.admit(at(102)), Admit::Yes);
    }

    #[test]
    fn failed_probe_opens_the_breaker_for_a_whole_pause() {
        let mut breaker = open();
        assert_eq!(breaker.admit(at(100)), Admit::Probe);
        assert!(breaker.failed(at(150)));
        assert_eq!(breaker.admit(at(249)), Admit::No { until: at(250) });
        assert_eq!(breaker.admit(at(250)), Admit::Probe);
    }

    #[test]
    fn probe_without_a_result_is_replaced_after_a_pause() {
        let mut breaker = open();
        assert_eq!(breaker.admit(at(100)), Admit::Probe);
        assert_eq!(breaker.admit(at(200)), Admit::Probe);
    }

    #[test]
    fn tripped_breaker_admits_a_probe_after_a_pause() {
        let mut breaker = breaker();
        assert!(breaker.trip(at(0)) && !breaker.trip(at(10)));
        assert_eq!(breaker.admit(at(109)), Admit::No { until: at(110) });
        assert_eq!(breaker.admit(at(110)), Admit::Probe);
        breaker.succeeded();
        assert!(!breaker.failed(at(120)), "one failure alone does not open it");
    }

    #[test]
    fn failures_of_earlier_runs_do_not_delay_the_probe() {
        let mut breaker = open();
        assert!(!breaker.failed(at(90)));
        assert_eq!(breaker.admit(at(100)), Admit::Probe);
    }
}
