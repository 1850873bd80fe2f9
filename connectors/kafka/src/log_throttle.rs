//! A log throttle: logs a repeated message once in an interval, and counts the repetitions.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The interval between two log lines of the same message.
const AGAIN: Duration = Duration::from_secs(30);
/// The most messages remembered; further ones are not logged.
const MOST: usize = 32;

/// The recent messages: the time of the last log line, and the count since then.
#[derive(Debug, Default)]
pub(super) struct LogThrottle(HashMap<String, (Instant, u64)>);

impl LogThrottle {
    /// Returns the count since the last log line if the message is to be logged now.
    pub(super) fn admit(&mut self, message: &str, now: Instant) -> Option<u64> {
        if let Some((logged_at, count)) = self.0.get_mut(message) {
            if now.duration_since(*logged_at) < AGAIN {
                *count += 1;
                return None;
            }
            *logged_at = now;
            return Some(std::mem::take(count));
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, (logged_at, _)| now.duration_since(*logged_at) < AGAIN);
        }
        (self.0.len() < MOST).then(|| {
            self.0.insert(message.to_owned(), (now, 0));
            0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttle_counts_repetitions_and_drops_storms() {
        let (mut throttle, now) = (LogThrottle::default(), Instant::now());
        assert_eq!(throttle.admit("a", now), Some(0));
        for _ in 0..17 {
            assert_eq!(throttle.admit("a", now + AGAIN / 2), None);
        }
        assert_eq!(throttle.admit("b", now + AGAIN / 2), Some(0));
        assert_eq!(throttle.admit("a", now + AGAIN), Some(17));
        assert_eq!(throttle.admit("b", now + AGAIN), None);
        let storm = (0..1_000)
            .filter(|number| throttle.admit(&number.to_string(), now + AGAIN * 3).is_some())
            .count();
        assert_eq!(storm, MOST);
    }
}
