//! Decides when the current transaction ends, and how. The publisher sends nothing while it ends.

use std::time::Duration;

use super::sink::{Ended, Ending};
use crate::position::Commit;
use crate::time::Timestamp;

/// The current transaction.
#[derive(Debug)]
pub struct Transaction {
    phase: Phase,
    every: Duration,
    due: Timestamp,
    /// The transaction should end before it is due.
    soon: bool,
    /// The reason why the transaction can only be aborted.
    doomed: Option<String>,
    /// The number of consecutive aborts.
    aborted: u32,
    /// The next transaction will not contain the cause of this abort.
    progressed: bool,
}

/// A transaction stays open for at most this part of the time to process the backlog…
const PART_OF_BACKLOG: u32 = 10;
/// …and at most this long, unless it is configured to stay open for longer.
const LONGEST: Duration = Duration::from_secs(1);

/// The number of consecutive aborts that counts as a failure.
const MOST_ABORTED: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No transaction has begun.
    Unbegun,
    /// The transaction accepts records.
    Open,
    /// The transaction accepts no more records, and ends once all delivery reports are there.
    Draining,
    /// The client was asked for this end.
    Ending(TransactionRequest),
    /// No further transaction begins.
    Over,
}

/// A request to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionRequest {
    /// Begin the first transaction.
    Begin,
    /// Commit the transaction with the positions that may be committed now.
    Commit,
    /// Abort the transaction.
    Abort,
}

/// The publisher's next action once a transaction has ended and the next has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterTransaction {
    /// Continue: the records are committed.
    GoOn,
    /// Send all records again, and report the commits again: the transaction was aborted.
    Again(String),
    /// Stop: no further transaction begins.
    Fail(String),
}

impl Transaction {
    /// A state before the first transaction. A transaction stays open for `every`, or longer under a backlog.
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

    /// The longest time for which a transaction stays open, if `every` is configured.
    pub fn longest(every: Duration) -> Duration {
        every.max(LONGEST)
    }

    /// True if records can be sent now.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open && self.doomed.is_none()
    }

    /// True if the transaction accepts records and is due: it ends now if there is something to commit.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.is_open() && self.is_time(now)
    }

    fn is_time(&self, now: Timestamp) -> bool {
        self.soon || now >= self.due
    }

    /// True if the client was asked for an end and has not answered.
    pub fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending(TransactionRequest::Commit | TransactionRequest::Abort))
    }

    /// True if the transaction may be committed without any record sent from now on.
    pub fn is_sealed(&self) -> bool {
        self.phase == Phase::Draining || self.is_ending()
    }

    /// Makes the transaction end before it is due.
    pub fn end_soon(&mut self) {
        self.soon = true;
    }

    /// Marks the transaction for an abort, since a record was not delivered or may not count any more. Without effect
    /// once its end was requested.
    pub fn doom(&mut self, why: impl Into<String>) {
        if matches!(self.phase, Phase::Open | Phase::Draining) {
            self.doomed.get_or_insert_with(|| why.into());
        }
    }

    /// Records that the next transaction will not contain the cause of this abort, so that the aborts will end.
    pub fn has_progressed(&mut self) {
        self.progressed = true;
    }

    /// The request to make now, if any. `worth` is true if there is something to commit, `under_way` if delivery
    /// reports are missing.
    pub fn step(&mut self, now: Timestamp, worth: bool, under_way: bool) -> Option<TransactionRequest> {
        if self.phase == Phase::Open {
            let due = self.is_time(now);
            if self.doomed.is_some() || (due && worth) {
                self.phase = Phase::Draining;
            } else if due {
                (self.soon, self.due) = (false, now.after(self.every));
            }
        }
        let ask = match self.phase {
            Phase::Unbegun => TransactionRequest::Begin,
            Phase::Draining if under_way => return None,
            Phase::Draining if self.doomed.is_some() => TransactionRequest::Abort,
            Phase::Draining => TransactionRequest::Commit,
            Phase::Open | Phase::Ending(_) | Phase::Over => return None,
        };
        self.phase = Phase::Ending(ask);
        Some(ask)
    }

    /// Processes the outcome of an end. `backlog` is the time to process the waiting records. Under a long backlog the
    /// next transaction stays open for longer, up to a second, since nothing is sent while a transaction ends.
    pub fn ended(&mut self, how: Ended, now: Timestamp, backlog: Duration) -> AfterTransaction {
        let doomed = self.doomed.take();
        self.soon = false;
        self.due = now.after((backlog / PART_OF_BACKLOG).max(self.every).min(Self::longest(self.every)));
        let was_asked = std::mem::replace(&mut self.phase, Phase::Open);
        let why = match how {
            Ended::AsAsked if was_asked != Phase::Ending(TransactionRequest::Abort) => {
                (self.aborted, self.progressed) = (0, false);
                return AfterTransaction::GoOn;
            }
            Ended::AsAsked => doomed.unwrap_or_default(),
            Ended::Aborted(why) => why,
            Ended::Failed(why) => {
                self.phase = Phase::Over;
                return AfterTransaction::Fail(why);
            }
        };
        self.aborted = if std::mem::take(&mut self.progressed) { 0 } else { self.aborted + 1 };
        if self.aborted < MOST_ABORTED {
            return AfterTransaction::Again(why);
        }
        self.phase = Phase::Over;
        AfterTransaction::Fail(format!(
            "{MOST_ABORTED} transactions in a row were aborted, the last because of: {why}"
        ))
    }

    /// The time at which the transaction is due; `None` while it ends.
    pub fn due(&self) -> Option<Timestamp> {
        (self.phase == Phase::Open).then_some(self.due)
    }
}

impl TransactionRequest {
    /// Builds the request, with the positions that may be committed.
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
        assert_eq!(it.step(at(0), false, false), Some(TransactionRequest::Begin));
        assert_eq!(it.ended(Ended::AsAsked, at(0), NONE), AfterTransaction::GoOn);
        it
    }

    #[test]
    fn transaction_ends_when_due_and_all_is_acknowledged() {
        let mut it = open();
        assert_eq!((it.step(at(99), true, true), it.is_open()), (None, true));
        assert_eq!((it.step(at(100), true, true), it.is_open()), (None, false));
        assert_eq!(it.step(at(101), true, false), Some(TransactionRequest::Commit));
        assert_eq!(
            (it.step(at(102), true, false), it.is_open()),
            (None, false),
            "the commit is requested once"
        );
        assert_eq!(it.ended(Ended::AsAsked, at(110), NONE), AfterTransaction::GoOn);
        assert_eq!((it.is_open(), it.due()), (true, Some(at(210))));
    }

    #[test]
    fn transaction_stays_open_longer_under_a_backlog() {
        for (every, backlog, gathers) in
            [(100, 999, 100), (100, 3_000, 300), (100, 60_000, 1_000), (5_000, 60_000, 5_000)]
        {
            let mut it = Transaction::new(Duration::from_millis(every));
            assert_eq!(it.step(at(0), false, false), Some(TransactionRequest::Begin));
            assert_eq!(
                it.ended(Ended::AsAsked, at(7), Duration::from_millis(backlog)),
                AfterTransaction::GoOn
            );
            assert_eq!(it.due(), Some(at(7 + gathers)), "{every} ms and a backlog of {backlog} ms");
        }
    }

    #[test]
    fn empty_transaction_is_not_committed() {
        let mut it = open();
        assert_eq!((it.step(at(100), false, false), it.due()), (None, Some(at(200))));
    }

    #[test]
    fn transaction_asked_to_end_soon_does_not_wait() {
        let mut it = open();
        it.end_soon();
        assert_eq!(it.step(at(1), true, false), Some(TransactionRequest::Commit));
    }

    #[test]
    fn undelivered_record_aborts_and_all_is_sent_again() {
        let mut it = open();
        it.doom("no");
        assert!(!it.is_open());
        assert_eq!(it.step(at(1), true, true), None, "delivery reports come first");
        assert_eq!(it.step(at(2), true, false), Some(TransactionRequest::Abort));
        assert_eq!(it.ended(Ended::AsAsked, at(3), NONE), AfterTransaction::Again("no".into()));
        assert!(it.is_open());
        assert_eq!(it.step(at(103), true, false), Some(TransactionRequest::Commit));
        assert_eq!(
            it.ended(Ended::Aborted("fenced".into()), at(104), NONE),
            AfterTransaction::Again("fenced".into())
        );
    }

    #[test]
    fn transaction_being_committed_cannot_be_doomed() {
        let mut it = open();
        it.end_soon();
        assert_eq!(it.step(at(1), true, false), Some(TransactionRequest::Commit));
        it.doom("too late");
        assert_eq!((it.ended(Ended::AsAsked, at(2), NONE), it.is_open()), (AfterTransaction::GoOn, true));
    }

    #[test]
    fn only_many_consecutive_aborts_are_a_failure() {
        let mut it = open();
        let mut end = |how: Ended| {
            it.end_soon();
            assert_eq!(it.step(at(1), true, false), Some(TransactionRequest::Commit));
            it.ended(how, at(2), NONE)
        };
        for _ in 1..MOST_ABORTED {
            assert_eq!(end(Ended::Aborted("no".into())), AfterTransaction::Again("no".into()));
        }
        assert_eq!(end(Ended::AsAsked), AfterTransaction::GoOn);
        for _ in 1..MOST_ABORTED {
            assert_eq!(end(Ended::Aborted("no".into())), AfterTransaction::Again("no".into()));
        }
        assert!(
            matches!(end(Ended::Aborted("no".into())), AfterTransaction::Fail(why) if why.ends_with("the last because of: no"))
        );
    }

    #[test]
    fn aborts_that_remove_a_refused_record_have_no_limit() {
        let mut it = open();
        for _ in 0..2 * MOST_ABORTED {
            it.doom("too large");
            it.has_progressed();
            assert_eq!(it.step(at(1), true, false), Some(TransactionRequest::Abort));
            assert_eq!(it.ended(Ended::AsAsked, at(2), NONE), AfterTransaction::Again("too large".into()));
        }
    }

    #[test]
    fn failed_transaction_sends_nothing_more() {
        let mut it = open();
        it.end_soon();
        assert_eq!(it.step(at(1), true, false), Some(TransactionRequest::Commit));
        assert_eq!(
            it.ended(Ended::Failed("gone".into()), at(2), NONE),
            AfterTransaction::Fail("gone".into())
        );
        assert_eq!((it.is_open(), it.due(), it.step(at(900), true, false)), (false, None, None));
    }
}
