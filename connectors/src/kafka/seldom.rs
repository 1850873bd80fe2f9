//! What repeats itself is told seldom.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The same is told again after this time.
const AGAIN: Duration = Duration::from_secs(30);
/// How much is remembered; what is beyond that is not told.
const MOST: usize = 32;

/// What was told of late.
#[derive(Debug, Default)]
pub(super) struct Seldom(HashMap<String, Instant>);

impl Seldom {
    /// Whether this is to be told now.
    pub(super) fn tell(&mut self, what: &str, now: Instant) -> bool {
        self.0.retain(|_, told| now.duration_since(*told) < AGAIN);
        let is_new = self.0.len() < MOST && !self.0.contains_key(what);
        if is_new {
            self.0.insert(what.to_owned(), now);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_in_a_while_and_a_storm_of_many_not_at_all() {
        let (mut seldom, now) = (Seldom::default(), Instant::now());
        assert!(seldom.tell("a", now));
        assert!(!seldom.tell("a", now + AGAIN / 2));
        assert!(seldom.tell("b", now + AGAIN / 2));
        assert!(seldom.tell("a", now + AGAIN));
        assert!(!seldom.tell("b", now + AGAIN));
        let storm = (0..1_000).filter(|number| seldom.tell(&number.to_string(), now + AGAIN * 3)).count();
        assert_eq!(storm, MOST);
    }
}
