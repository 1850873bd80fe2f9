//! The circuit breaker of a model: one that keeps failing is left alone for a while, and then tried with
//! a single bundle (Nygard, "Release It!", 2007, "Circuit Breaker").

use std::time::Duration;

use crate::time::Timestamp;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// So many failures in a row open it; at least 1.
    pub failures: u32,
    /// After so long one probe is admitted.
    pub pause: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failures: 3, pause: Duration::from_secs(5) }
    }
}

/// What a breaker does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All may go to the model.
    Closed,
    /// Nothing may.
    Open,
    /// One probe is under way; the rest waits for what comes of it.
    HalfOpen,
}

impl BreakerState {
    /// As it stands in logs and in what health says.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Whether something may go to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// It may.
    Yes,
    /// It may, and what comes of it decides: it should be as little as can be.
    Probe,
    /// Not before then. While a probe is under way that is when its time is over.
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
    /// When it opened, or when the probe was admitted.
    since: Timestamp,
}

impl Breaker {
    /// A closed one.
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: BreakerState::Closed, in_a_row: 0, since: Timestamp::MIN }
    }

    /// Whether something may go to the model now. Who is told [`Admit::Probe`] must say what came of it; a probe
    /// of which nothing is heard for a pause is replaced by another.
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

    /// The model did what it was asked.
    pub fn succeeded(&mut self) {
        self.in_a_row = 0;
        self.state = BreakerState::Closed;
    }

    /// It did not. Says whether the breaker has opened by it, or opened again.
    pub fn failed(&mut self, now: Timestamp) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        let opens = match self.state {
            BreakerState::Closed => self.in_a_row >= self.policy.failures.max(1),
            BreakerState::HalfOpen => true,
            // What was under way when it opened.
            BreakerState::Open => false,
        };
        if opens {
            self.state = BreakerState::Open;
            self.since = now;
        }
        opens
    }

    /// What it does now.
    pub fn state(&self) -> BreakerState {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

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
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
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
    fn one_probe_closes_it() {
        let mut breaker = open();
        assert_eq!(breaker.admit(at(100)), Admit::Probe);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(at(101)), Admit::No { until: at(200) }, "one at a time");
        breaker.succeeded();
        assert_eq!(breaker.admit(at(102)), Admit::Yes);
    }

    #[test]
    fn a_probe_that_fails_opens_it_again_for_a_whole_pause() {
        let mut breaker = open();
        assert_eq!(breaker.admit(at(100)), Admit::Probe);
        assert!(breaker.failed(at(150)));
        assert_eq!(breaker.admit(at(249)), Admit::No { until: at(250) });
        assert_eq!(breaker.admit(at(250)), Admit::Probe);
    }

    #[test]
    fn a_probe_of_which_nothing_is_heard_does_not_keep_it_shut_for_ever() {
        let mut breaker = open();
        assert_eq!(breaker.admit(at(100)), Admit::Probe);
        assert_eq!(breaker.admit(at(200)), Admit::Probe);
    }

    #[test]
    fn what_was_under_way_when_it_opened_does_not_put_the_probe_off() {
        let mut breaker = open();
        assert!(!breaker.failed(at(90)));
        assert_eq!(breaker.admit(at(100)), Admit::Probe);
    }
}
