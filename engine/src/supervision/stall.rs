//! A heartbeat that moves with progress, not with time: who has work and gets none of it done stands still.

use std::time::Duration;

use crate::time::Timestamp;

/// What has been given to somebody, and what of it is done; both only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Pieces of work given.
    pub given: u64,
    /// Pieces of work done.
    pub done: u64,
    /// Whether it waits for somebody else, who then is the one that stands still.
    pub waits: bool,
}

/// Watches one that works.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    done: u64,
    /// The last look, if it had work then.
    looked: Option<Timestamp>,
    /// For how long it has had work and got none of it done.
    still: Duration,
}

impl Progress {
    /// Looks at it. It stands still, and for how long is said, when at every look for longer than `limit` it had
    /// work, did not wait for another, and had done nothing more. From one look to the next no more than half of
    /// `limit` counts: a process that was suspended stood still as a whole, and whoever looks with it.
    pub fn look(&mut self, tally: Tally, now: Timestamp, limit: Duration) -> Option<Duration> {
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

    fn look(progress: &mut Progress, seconds: i64, given: u64, done: u64, waits: bool) -> bool {
        let now = Timestamp::from_millis(seconds * 1000);
        progress.look(Tally { given, done, waits }, now, LIMIT).is_some()
    }

    #[test]
    fn who_has_work_and_does_none_stands_still() {
        let mut progress = Progress::default();
        for seconds in [0, 4, 8, 10] {
            assert!(!look(&mut progress, seconds, 1 + seconds as u64, 0, false), "after {seconds} s");
        }
        assert!(look(&mut progress, 11, 5, 0, false));
    }

    #[test]
    fn a_process_that_was_suspended_has_not_stood_still() {
        let mut progress = Progress::default();
        assert!(!look(&mut progress, 0, 1, 0, false));
        assert!(!look(&mut progress, 1000, 1, 0, false), "nobody could look in between");
        assert!(!look(&mut progress, 1004, 1, 0, false));
        assert!(look(&mut progress, 1008, 1, 0, false), "it had time since");
    }

    #[test]
    fn who_has_nothing_to_do_does_not_stand_still_however_long() {
        let mut progress = Progress::default();
        assert!(!look(&mut progress, 0, 3, 3, false));
        assert!(!look(&mut progress, 1000, 3, 3, false));
        assert!(!look(&mut progress, 1001, 4, 3, false), "the time begins with the work");
        assert!(!look(&mut progress, 1006, 4, 3, false));
        assert!(!look(&mut progress, 1011, 4, 3, false));
        assert!(look(&mut progress, 1012, 4, 3, false));
    }

    #[test]
    fn a_little_progress_is_enough() {
        let mut progress = Progress::default();
        for step in 0..100 {
            assert!(!look(&mut progress, step as i64 * 9, 1000, step, false));
        }
    }

    #[test]
    fn who_waits_for_another_is_not_the_one_that_stands_still() {
        let mut progress = Progress::default();
        assert!(!look(&mut progress, 0, 5, 2, false));
        assert!(!look(&mut progress, 100, 5, 2, true));
        assert!(!look(&mut progress, 105, 5, 2, false), "the time begins when the other has let go");
        assert!(!look(&mut progress, 110, 5, 2, false));
        assert!(!look(&mut progress, 115, 5, 2, false));
        assert!(look(&mut progress, 116, 5, 2, false));
    }
}
