//! When something that failed is started again, and when no more.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

/// How often something that fails is started again, and how soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// The most restarts within a window; 0 for none at all.
    pub most: u32,
    /// The length of that window, which slides.
    pub within: Duration,
    /// How long the first restart waits. Each further one in the window waits twice as long.
    pub backoff: Duration,
    /// The longest that a restart waits.
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

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is started again.
    Again {
        /// After this time.
        after: Duration,
    },
    /// It has failed too often.
    GiveUp,
}

/// The restarts of one thing.
///
/// The wait doubles from one restart to the next and is spread over its upper half, so that what failed
/// together does not come back together: "equal jitter" of Marc Brooker's "Exponential Backoff And
/// Jitter" (AWS Architecture Blog, 2015).
#[derive(Clone, Debug)]
pub struct Restarts {
    policy: RestartPolicy,
    /// When the failures of the window were, the oldest first.
    failures: VecDeque<Timestamp>,
    total: u64,
    random: u64,
}

impl Restarts {
    /// No failure yet. `seed` decides on the jitter: two things with the same one wait equally long.
    pub fn new(policy: RestartPolicy, seed: u64) -> Self {
        Self { policy, failures: VecDeque::new(), total: 0, random: seed }
    }

    /// It has failed.
    pub fn failed(&mut self, now: Timestamp) -> Decision {
        let since = now.before(self.policy.within);
        while self.failures.front().is_some_and(|at| *at <= since) {
            self.failures.pop_front();
        }
        if self.failures.len() >= usize::try_from(self.policy.most).unwrap_or(usize::MAX) {
            return Decision::GiveUp;
        }
        let doublings = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        self.failures.push_back(now);
        self.total += 1;
        let factor = 2u32.checked_pow(doublings).unwrap_or(u32::MAX);
        let longest = self.policy.backoff.saturating_mul(factor).min(self.policy.backoff_max);
        Decision::Again { after: self.jittered(longest) }
    }

    /// How often it has been started again.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The policy.
    pub fn policy(&self) -> &RestartPolicy {
        &self.policy
    }

    /// From half of `longest` to all of it.
    fn jittered(&mut self, longest: Duration) -> Duration {
        let share = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        let half = longest / 2;
        half + half.mul_f64(share)
    }

    /// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
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
            Decision::Again { after } => after,
            Decision::GiveUp => panic!("it gave up"),
        }
    }

    #[test]
    fn each_wait_is_twice_as_long_up_to_the_longest() {
        let mut restarts = Restarts::new(policy(10), 1);
        for (place, longest) in [100, 200, 400, 800, 1000, 1000].into_iter().enumerate() {
            let longest = Duration::from_millis(longest);
            let waited = wait(&mut restarts, place as i64);
            assert!(longest / 2 <= waited && waited <= longest, "{waited:?} of {longest:?}");
        }
    }

    #[test]
    fn two_that_fail_together_do_not_come_back_together() {
        let (mut one, mut other) = (Restarts::new(policy(5), 1), Restarts::new(policy(5), 2));
        assert_ne!(wait(&mut one, 0), wait(&mut other, 0));
    }

    #[test]
    fn a_quiet_window_forgives_all() {
        let mut restarts = Restarts::new(policy(2), 1);
        let _ = (wait(&mut restarts, 0), wait(&mut restarts, 1));
        assert_eq!(restarts.failed(Timestamp::from_millis(59_999)), Decision::GiveUp);
        assert!(wait(&mut restarts, 60_001) <= Duration::from_millis(100), "the backoff begins anew");
    }

    proptest! {
        #[test]
        fn no_window_has_more_restarts_than_the_policy_says(
            gaps in prop::collection::vec(0i64..40_000, 0..60), most in 0u32..6, seed: u64,
        ) {
            let mut restarts = Restarts::new(policy(most), seed);
            let (mut at, mut again) = (0, Vec::new());
            for gap in gaps {
                at += gap;
                match restarts.failed(Timestamp::from_millis(at)) {
                    Decision::Again { after } => {
                        prop_assert!(after <= Duration::from_secs(1));
                        again.push(at);
                    }
                    Decision::GiveUp => {
                        let recent = again.iter().filter(|then| **then > at - 60_000).count();
                        prop_assert_eq!(recent, most as usize, "it gave up early");
                    }
                }
                let recent = again.iter().filter(|then| **then > at - 60_000).count();
                prop_assert!(recent <= most as usize);
            }
            prop_assert_eq!(restarts.total(), again.len() as u64);
        }
    }
}
