//! A log throttle: what repeats itself is said throttle, and counted meanwhile.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The same is said again after this time.
const AGAIN: Duration = Duration::from_secs(30);
/// How much is remembered; what is beyond that is not said.
const MOST: usize = 32;

/// What was said of late: when, and how often it has come since.
#[derive(Debug, Default)]
pub(super) struct LogThrottle(HashMap<String, (Instant, u64)>);

impl LogThrottle {
    /// Whether this is to be said now: then how often it has come since it was last said.
    pub(super) fn tell(&mut self, what: &str, now: Instant) -> Option<u64> {
        if let Some((said_at, count)) = self.0.get_mut(what) {
            if now.duration_since(*said_at) < AGAIN {
                *count += 1;
                return None;
            }
            *said_at = now;
            return Some(std::mem::take(count));
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, (said_at, _)| now.duration_since(*said_at) < AGAIN);
        }
        (self.0.len() < MOST).then(|| {
            self.0.insert(what.to_owned(), (now, 0));
            0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttle_says_the_same_seldom_with_its_count_and_a_storm_of_many_not_at_all() {
        let (mut throttle, now) = (LogThrottle::default(), Instant::now());
        assert_eq!(throttle.tell("a", now), Some(0));
        for _ in 0..17 {
            assert_eq!(throttle.tell("a", now + AGAIN / 2), None);
        }
        assert_eq!(throttle.tell("b", now + AGAIN / 2), Some(0));
        assert_eq!(throttle.tell("a", now + AGAIN), Some(17));
        assert_eq!(throttle.tell("b", now + AGAIN), None);
        let storm =
            (0..1_000).filter(|number| throttle.tell(&number.to_string(), now + AGAIN * 3).is_some()).count();
        assert_eq!(storm, MOST);
    }
}
