//! Restarts of failed parts: how often, and after which wait.

use std::collections::VecDeque;
use std::time::Duration;

use crate::random::SplitMix64;
use crate::time::Timestamp;

/// Settings of restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// The most restarts within a window; 0 allows none.
    pub most: u32,
    /// The length of that sliding window.
    pub within: Duration,
    /// The wait before the first restart. Each further restart in the window waits twice as long.
    pub backoff: Duration,
    /// The longest wait before a restart.
    pub backoff_max: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            most: 5,
            within: Duration::from_secs(600),
            backoff: Duration::from_millis(200),
            backoff_max: Duration::from_secs(30),
        }
    }
}

/// The consequence of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartDecision {
    /// Start the part again.
    Again {
        /// The wait before the start.
        after: Duration,
    },
    /// The part has failed too often.
    GiveUp,
}

/// The restarts of one part.
///
/// The wait doubles from one restart to the next and is spread over its upper half. So parts that failed together do
/// not restart together ("equal jitter": Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
#[derive(Clone, Debug)]
pub struct Restarts {
    policy: RestartPolicy,
    /// The failures within the window, the oldest first.
    failures: VecDeque<Timestamp>,
    total: u64,
    random: SplitMix64,
}

impl Restarts {
    /// A history without failures. `seed` determines the jitter: two parts with the same seed wait equally long.
    pub fn new(policy: RestartPolicy, seed: u64) -> Self {
        Self { policy, failures: VecDeque::new(), total: 0, random: SplitMix64::new(seed) }
    }

    /// Records a failure.
    pub fn failed(&mut self, now: Timestamp) -> RestartDecision {
        let since = now.before(self.policy.within);
        while self.failures.front().is_some_and(|at| *at <= since) {
            self.failures.pop_front();
        }
        if self.failures.len() >= usize::try_from(self.policy.most).unwrap_or(usize::MAX) {
            return RestartDecision::GiveUp;
        }
        let doublings = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        self.failures.push_back(now);
        self.total += 1;
        let factor = 2u32.checked_pow(doublings).unwrap_or(u32::MAX);
        let longest = self.policy.backoff.saturating_mul(factor).min(self.policy.backoff_max);
        RestartDecision::Again { after: self.jittered(longest) }
    }

    /// The number of restarts so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The settings.
    pub fn policy(&self) -> &RestartPolicy {
        &self.policy
    }

    /// Draws a wait from half of `longest` to all of it.
    fn jittered(&mut self, longest: Duration) -> Duration {
        let share = self.random.fraction();
        let half = longest / 2;
        half + half.mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn policy(most: u32) -> RestartPolicy {
        RestartPolicy {
            most,
            within: Duration::from_secs(60),
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(1),
        }
    }

    fn wait(restarts: &mut Restarts, at: i64) -> Duration {
        match restarts.failed(Timestamp::from_millis(at)) {
            RestartDecision::Again { after } => after,
            RestartDecision::GiveUp => panic!("the policy gave up"),
        }
    }

    #[test]
    fn backoff_doubles_up_to_its_maximum() {
        let mut restarts = Restarts::new(policy(10), 1);
        for (place, longest) in [100, 200, 400, 800, 1000, 1000].into_iter().enumerate() {
            let longest = Duration::from_millis(longest);
            let waited = wait(&mut restarts, place as i64);
            assert!(longest / 2 <= waited && waited <= longest, "{waited:?} of {longest:?}");
        }
    }

    #[test]
    fn parts_that_fail_together_restart_at_different_times() {
        let (mut one, mut other) = (Restarts::new(policy(5), 1), Restarts::new(policy(5), 2));
        assert_ne!(wait(&mut one, 0), wait(&mut other, 0));
    }

    #[test]
    fn failures_older_than_the_window_do_not_count() {
        let mut restarts = Restarts::new(policy(2), 1);
        let _ = (wait(&mut restarts, 0), wait(&mut restarts, 1));
        assert_eq!(restarts.failed(Timestamp::from_millis(59_999)), RestartDecision::GiveUp);
        assert!(wait(&mut restarts, 60_001) <= Duration::from_millis(100), "the backoff begins anew");
    }

    proptest! {
        #[test]
        fn restarts_in_any_window_stay_within_the_policy(
            gaps in prop::collection::vec(0i64..40_000, 0..60), most in 0u32..6, seed: u64,
        ) {
            let mut restarts = Restarts::new(policy(most), seed);
            let (mut at, mut again) = (0, Vec::new());
            for gap in gaps {
                at += gap;
                match restarts.failed(Timestamp::from_millis(at)) {
                    RestartDecision::Again { after } => {
                        prop_assert!(after <= Duration::from_secs(1));
                        again.push(at);
                    }
                    RestartDecision::GiveUp => {
                        let recent = again.iter().filter(|then| **then > at - 60_000).count();
                        prop_assert_eq!(recent, most as usize, "the policy gave up early");
                    }
                }
                let recent = again.iter().filter(|then| **then > at - 60_000).count();
                prop_assert!(recent <= most as usize);
            }
            prop_assert_eq!(restarts.total(), again.len() as u64);
        }
    }
}
