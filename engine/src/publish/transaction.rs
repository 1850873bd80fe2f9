//! When the transaction that results gather in ends, and how. Nothing is sent while it does.

use std::time::Duration;

use super::sink::{Ended, Ending};
use crate::position::Commit;
use crate::time::Timestamp;

/// The transaction under way.
#[derive(Debug)]
pub struct Transaction {
    phase: Phase,
    every: Duration,
    due: Timestamp,
    /// It is to end before it is due.
    soon: bool,
    /// Why it can only be aborted.
    doomed: Option<String>,
    /// How many in a row were aborted.
    aborted: u32,
    /// The next goes without what this one is aborted for.
    progressed: bool,
}

/// A transaction gathers for no more than this part of the time that the last record of the backlog waits anyway…
const PART_OF_BACKLOG: u32 = 10;
/// …and no longer than this, unless it is to do so without a backlog.
const LONGEST: Duration = Duration::from_secs(1);

/// So many transactions aborted in a row are not chance any more.
const MOST_ABORTED: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// None has begun.
    Unbegun,
    /// It takes what is sent.
    Open,
    /// It takes no more, and ends when all that was sent has been told of.
    Draining,
    /// This end has been asked for.
    Ending(Ask),
    /// There is no next.
    Over,
}

/// What is to be asked of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To begin the first.
    Begin,
    /// To commit it, with the positions that may be committed now.
    Commit,
    /// To abort it.
    Abort,
}

/// What is to be done when a transaction has ended and the next has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Go on: what was sent counts.
    GoOn,
    /// Send again what was sent, and tell again what may be committed: nothing of it counts.
    Again(String),
    /// There is no next.
    Fail(String),
}

impl Transaction {
    /// None has begun. One gathers for `every`, or longer while there is a backlog.
    pub fn new(every: Duration) -> Self {
        Self {
            phase: Phase::Unbegun,
            every,
            due: Timestamp::MIN,
            soon: false,
            doomed: None,
            aborted: 0,
            progressed: false,
        }
    }

    /// How long one gathers at most that is to gather for `every`.
    pub fn longest(every: Duration) -> Duration {
        every.max(LONGEST)
    }

    /// Whether something can be sent now.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open && self.doomed.is_none()
    }

    /// Whether it takes what is sent, and would end now if there is something to commit.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.is_open() && self.is_time(now)
    }

    fn is_time(&self, now: Timestamp) -> bool {
        self.soon || now >= self.due
    }

    /// Whether an end has been asked for, and not been answered.
    pub fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending(Ask::Commit | Ask::Abort))
    }

    /// Whether it may come to count without anything that is sent from now on.
    pub fn is_sealed(&self) -> bool {
        self.phase == Phase::Draining || self.is_ending()
    }

    /// It is not to wait until it is due.
    pub fn end_soon(&mut self) {
        self.soon = true;
    }

    /// Something of it was not delivered, or may not count any more. Nothing comes of it when its end has been asked for.
    pub fn doom(&mut self, why: impl Into<String>) {
        if matches!(self.phase, Phase::Open | Phase::Draining) {
            self.doomed.get_or_insert_with(|| why.into());
        }
    }

    /// What it is aborted for will not be in the next: there is an end to it.
    pub fn has_progressed(&mut self) {
        self.progressed = true;
    }

    /// What to ask for now, if anything. `worth` says whether anything is to be committed, `under_way` whether
    /// anything that was sent has not been told of.
    pub fn step(&mut self, now: Timestamp, worth: bool, under_way: bool) -> Option<Ask> {
        if self.phase == Phase::Open {
            let due = self.is_time(now);
            if self.doomed.is_some() || (due && worth) {
                self.phase = Phase::Draining;
            } else if due {
                (self.soon, self.due) = (false, now.after(self.every));
            }
        }
        let ask = match self.phase {
            Phase::Unbegun => Ask::Begin,
            Phase::Draining if under_way => return None,
            Phase::Draining if self.doomed.is_some() => Ask::Abort,
            Phase::Draining => Ask::Commit,
            Phase::Open | Phase::Ending(_) | Phase::Over => return None,
        };
        self.phase = Phase::Ending(ask);
        Some(ask)
    }

    /// It has ended as asked, or not. What waits to be read takes `backlog` to be processed: while it is long the next
    /// transaction gathers for longer, up to a second, since nothing is sent while one ends.
    pub fn ended(&mut self, how: Ended, now: Timestamp, backlog: Duration) -> Then {
        let doomed = self.doomed.take();
        self.soon = false;
        self.due = now.after((backlog / PART_OF_BACKLOG).max(self.every).min(Self::longest(self.every)));
        let was_asked = std::mem::replace(&mut self.phase, Phase::Open);
        let why = match how {
            Ended::AsAsked if was_asked != Phase::Ending(Ask::Abort) => {
                (self.aborted, self.progressed) = (0, false);
                return Then::GoOn;
            }
            Ended::AsAsked => doomed.unwrap_or_default(),
            Ended::Aborted(why) => why,
            Ended::Failed(why) => {
                self.phase = Phase::Over;
                return Then::Fail(why);
            }
        };
        self.aborted = if std::mem::take(&mut self.progressed) { 0 } else { self.aborted + 1 };
        if self.aborted < MOST_ABORTED {
            return Then::Again(why);
        }
        self.phase = Phase::Over;
        Then::Fail(format!("{MOST_ABORTED} in a row were aborted, the last since {why}"))
    }

    /// When it is due; none while it ends, which is told.
    pub fn due(&self) -> Option<Timestamp> {
        (self.phase == Phase::Open).then_some(self.due)
    }
}

impl Ask {
    /// With the positions that may be committed.
    pub fn with(self, commits: Vec<Commit>) -> Ending {
        match self {
            Self::Begin => Ending::None,
            Self::Commit => Ending::Commit(commits),
            Self::Abort => Ending::Abort,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(100);
    const NONE: Duration = Duration::ZERO;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(0).after(Duration::from_millis(millis))
    }

    fn open() -> Transaction {
        let mut it = Transaction::new(EVERY);
        assert!(!it.is_open());
        assert_eq!(it.step(at(0), false, false), Some(Ask::Begin));
        assert_eq!(it.ended(Ended::AsAsked, at(0), NONE), Then::GoOn);
        it
    }

    #[test]
    fn it_gathers_until_it_is_due_and_ends_when_all_is_told() {
        let mut it = open();
        assert_eq!((it.step(at(99), true, true), it.is_open()), (None, true));
        assert_eq!((it.step(at(100), true, true), it.is_open()), (None, false));
        assert_eq!(it.step(at(101), true, false), Some(Ask::Commit));
        assert_eq!((it.step(at(102), true, false), it.is_open()), (None, false), "it is asked for once");
        assert_eq!(it.ended(Ended::AsAsked, at(110), NONE), Then::GoOn);
        assert_eq!((it.is_open(), it.due()), (true, Some(at(210))));
    }

    #[test]
    fn it_gathers_for_a_tenth_of_what_the_backlog_takes_where_that_is_longer_and_for_a_second_at_most() {
        for (every, backlog, gathers) in
            [(100, 999, 100), (100, 3_000, 300), (100, 60_000, 1_000), (5_000, 60_000, 5_000)]
        {
            let mut it = Transaction::new(Duration::from_millis(every));
            assert_eq!(it.step(at(0), false, false), Some(Ask::Begin));
            assert_eq!(it.ended(Ended::AsAsked, at(7), Duration::from_millis(backlog)), Then::GoOn);
            assert_eq!(it.due(), Some(at(7 + gathers)), "{every} ms and a backlog of {backlog} ms");
        }
    }

    #[test]
    fn an_empty_one_is_not_committed() {
        let mut it = open();
        assert_eq!((it.step(at(100), false, false), it.due()), (None, Some(at(200))));
    }

    #[test]
    fn one_that_is_wanted_soon_does_not_wait() {
        let mut it = open();
        it.end_soon();
        assert_eq!(it.step(at(1), true, false), Some(Ask::Commit));
    }

    #[test]
    fn what_was_not_delivered_aborts_it_and_all_is_sent_again() {
        let mut it = open();
        it.doom("no");
        assert!(!it.is_open());
        assert_eq!(it.step(at(1), true, true), None, "what is under way is told of first");
        assert_eq!(it.step(at(2), true, false), Some(Ask::Abort));
        assert_eq!(it.ended(Ended::AsAsked, at(3), NONE), Then::Again("no".into()));
        assert!(it.is_open());
        assert_eq!(it.step(at(103), true, false), Some(Ask::Commit));
        assert_eq!(it.ended(Ended::Aborted("fenced".into()), at(104), NONE), Then::Again("fenced".into()));
    }

    #[test]
    fn one_that_is_being_committed_cannot_be_doomed_any_more() {
        let mut it = open();
        it.end_soon();
        assert_eq!(it.step(at(1), true, false), Some(Ask::Commit));
        it.doom("too late");
        assert_eq!((it.ended(Ended::AsAsked, at(2), NONE), it.is_open()), (Then::GoOn, true));
    }

    #[test]
    fn many_aborted_in_a_row_are_a_failure_and_one_that_counts_ends_the_row() {
        let mut it = open();
        let mut end = |how: Ended| {
            it.end_soon();
            assert_eq!(it.step(at(1), true, false), Some(Ask::Commit));
            it.ended(how, at(2), NONE)
        };
        for _ in 1..MOST_ABORTED {
            assert_eq!(end(Ended::Aborted("no".into())), Then::Again("no".into()));
        }
        assert_eq!(end(Ended::AsAsked), Then::GoOn);
        for _ in 1..MOST_ABORTED {
            assert_eq!(end(Ended::Aborted("no".into())), Then::Again("no".into()));
        }
        assert!(
            matches!(end(Ended::Aborted("no".into())), Then::Fail(why) if why.ends_with("the last since no"))
        );
    }

    #[test]
    fn aborts_that_remove_what_was_refused_have_no_limit() {
        let mut it = open();
        for _ in 0..2 * MOST_ABORTED {
            it.doom("too large");
            it.has_progressed();
            assert_eq!(it.step(at(1), true, false), Some(Ask::Abort));
            assert_eq!(it.ended(Ended::AsAsked, at(2), NONE), Then::Again("too large".into()));
        }
    }

    #[test]
    fn after_a_failure_nothing_is_sent_any_more() {
        let mut it = open();
        it.end_soon();
        assert_eq!(it.step(at(1), true, false), Some(Ask::Commit));
        assert_eq!(it.ended(Ended::Failed("gone".into()), at(2), NONE), Then::Fail("gone".into()));
        assert_eq!((it.is_open(), it.due(), it.step(at(900), true, false)), (false, None, None));
    }
}
