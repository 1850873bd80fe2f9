//! Stall detection by progress, not by time: an actor has stalled if messages are pending and it completes none.

use std::time::Duration;

use crate::time::Timestamp;

/// Message counts of an actor. Both only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// Messages sent to the actor.
    pub given: u64,
    /// Messages that the actor has completed.
    pub done: u64,
    /// The actor waits for another actor's mailbox. Then the other actor is the one that may have stalled.
    pub waits: bool,
}

/// Measures how long one actor has stalled.
#[derive(Clone, Copy, Debug, Default)]
pub struct StallTimer {
    done: u64,
    /// The last look, if messages were pending then.
    looked: Option<Timestamp>,
    /// The time for which messages have been pending with none completed.
    still: Duration,
}

impl StallTimer {
    /// Compares the counts with those of the last look. Returns how long the actor has stalled if that is longer than
    /// `limit`.
    ///
    /// An actor stalls from one look to the next if messages are pending, it waits for no other actor, and it has
    /// completed none. One interval between looks counts as at most half of `limit`. A suspended process suspends its
    /// actors and the caller alike, so that time proves no stall.
    pub fn look(&mut self, tally: MessageCounts, now: Timestamp, limit: Duration) -> Option<Duration> {
        let has_work = tally.given > tally.done && !tally.waits;
        let before = self.looked.replace(now).filter(|_| has_work && tally.done == self.done);
        self.done = tally.done;
        match before {
            Some(before) => self.still += now.since(before).min(limit / 2),
            None => self.still = Duration::ZERO,
        }
        if !has_work {
            self.looked = None;
        }
        (self.still > limit).then_some(self.still)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn look(timer: &mut StallTimer, seconds: i64, given: u64, done: u64, waits: bool) -> bool {
        let now = Timestamp::from_millis(seconds * 1000);
        timer.look(MessageCounts { given, done, waits }, now, LIMIT).is_some()
    }

    #[test]
    fn actor_with_pending_messages_and_no_progress_stalls() {
        let mut timer = StallTimer::default();
        for seconds in [0, 4, 8, 10] {
            assert!(!look(&mut timer, seconds, 1 + seconds as u64, 0, false), "after {seconds} s");
        }
        assert!(look(&mut timer, 11, 5, 0, false));
    }

    #[test]
    fn suspended_process_has_not_stalled() {
        let mut timer = StallTimer::default();
        assert!(!look(&mut timer, 0, 1, 0, false));
        assert!(!look(&mut timer, 1000, 1, 0, false), "the detector was suspended too");
        assert!(!look(&mut timer, 1004, 1, 0, false));
        assert!(look(&mut timer, 1008, 1, 0, false), "the actor had time since");
    }

    #[test]
    fn idle_actor_never_stalls() {
        let mut timer = StallTimer::default();
        assert!(!look(&mut timer, 0, 3, 3, false));
        assert!(!look(&mut timer, 1000, 3, 3, false));
        assert!(!look(&mut timer, 1001, 4, 3, false), "the time begins with the message");
        assert!(!look(&mut timer, 1006, 4, 3, false));
        assert!(!look(&mut timer, 1011, 4, 3, false));
        assert!(look(&mut timer, 1012, 4, 3, false));
    }

    #[test]
    fn any_progress_resets_the_stall_detector() {
        let mut timer = StallTimer::default();
        for step in 0..100 {
            assert!(!look(&mut timer, step as i64 * 9, 1000, step, false));
        }
    }

    #[test]
    fn actor_that_waits_for_another_does_not_stall() {
        let mut timer = StallTimer::default();
        assert!(!look(&mut timer, 0, 5, 2, false));
        assert!(!look(&mut timer, 100, 5, 2, true));
        assert!(!look(&mut timer, 105, 5, 2, false), "the time begins when the wait ends");
        assert!(!look(&mut timer, 110, 5, 2, false));
        assert!(!look(&mut timer, 115, 5, 2, false));
        assert!(look(&mut timer, 116, 5, 2, false));
    }
}
