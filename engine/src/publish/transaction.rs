//! Decides which records the current transaction contains, when it ends, and how.
//!
//! The publisher sends records in order, under consecutive numbers, and nothing while a transaction ends. After an abort it sends the
//! same records again under the same numbers. The next transaction must then contain all records that had been acknowledged: the
//! offsets to commit count their sources as ended. The others may go in later transactions.

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
    /// The transaction ends once it has all records with lower numbers, and takes no others.
    until: Option<u64>,
    /// Acknowledged records of an aborted transaction have lower numbers, so the next transaction must contain these.
    again_to: u64,
    /// The number of committed transactions.
    committed: u64,
    /// All records of committed transactions have lower numbers.
    committed_to: u64,
}

/// The records at a step.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// The number of the first record that was not sent.
    pub unsent: u64,
    /// True if acknowledgements are missing.
    pub under_way: bool,
    /// True if the transaction has records, or offsets that can be committed.
    pub has_content: bool,
}

/// A place behind all records and offsets so far.
#[derive(Clone, Copy, Debug)]
pub struct CommitMark {
    /// The number of the next record.
    pub number: u64,
    /// The number of transactions that must be committed for the offsets; 0 without transactions.
    pub transactions: u64,
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
    /// Commit the transaction with the offsets that may be committed now.
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
            until: None,
            again_to: 0,
            committed: 0,
            committed_to: 0,
        }
    }

    /// The longest time for which a transaction stays open, if `every` is configured.
    pub fn longest(every: Duration) -> Duration {
        every.max(LONGEST)
    }

    fn is_open(&self) -> bool {
        self.phase == Phase::Open && self.doomed.is_none()
    }

    /// True if the record of this number can be sent now.
    pub fn takes(&self, number: u64) -> bool {
        self.is_open() && self.until.is_none_or(|until| number < until)
    }

    /// True if the transaction is due and not closed: it ends now if there is something to commit.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.is_open() && self.is_time(now) && self.until.is_none()
    }

    /// Closes the transaction to records from this number on. It ends once it has all records before.
    pub fn close(&mut self, number: u64) {
        self.until = Some(number.max(self.again_to));
    }

    fn is_time(&self, now: Timestamp) -> bool {
        self.soon || now >= self.due
    }

    /// True if the client was asked for an end and has not answered.
    pub fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending(TransactionRequest::Commit | TransactionRequest::Abort))
    }

    /// A mark behind the present offsets and all records before `next`. The open transaction commits the offsets; the next one does,
    /// if the open one takes no more records.
    pub fn mark(&self, next: u64) -> CommitMark {
        let is_sealed = self.phase == Phase::Draining || self.is_ending();
        CommitMark { number: next, transactions: self.committed + 1 + u64::from(is_sealed) }
    }

    /// True if all records and offsets before a mark are committed.
    pub fn has_passed(&self, mark: CommitMark) -> bool {
        self.committed_to >= mark.number && self.committed >= mark.transactions
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

    /// The request to make now, if any.
    pub fn step(&mut self, now: Timestamp, sending: Sending) -> Option<TransactionRequest> {
        if self.is_open() && sending.unsent < self.until.unwrap_or(self.again_to) {
            return None;
        }
        let request = self.request(now, sending);
        if request.is_none() && self.is_open() {
            self.until = None;
        }
        request
    }

    fn request(
        &mut self,
        now: Timestamp,
        Sending { under_way, has_content, .. }: Sending,
    ) -> Option<TransactionRequest> {
        if self.phase == Phase::Open {
            let due = self.is_time(now);
            if self.doomed.is_some() || (due && (has_content || under_way)) {
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
    /// next transaction stays open for longer, up to a second, since nothing is sent while a transaction ends. Records that
    /// were not sent have numbers from `unsent` on.
    pub fn ended(&mut self, how: Ended, now: Timestamp, backlog: Duration, unsent: u64) -> AfterTransaction {
        // The first request only begins a transaction.
        let had_records = self.is_ending();
        let doomed = self.doomed.take();
        (self.soon, self.until) = (false, None);
        self.due = now.after((backlog / PART_OF_BACKLOG).max(self.every).min(Self::longest(self.every)));
        let was_asked = std::mem::replace(&mut self.phase, Phase::Open);
        let why = match how {
            Ended::AsAsked if was_asked != Phase::Ending(TransactionRequest::Abort) => {
                (self.aborted, self.progressed) = (0, false);
                if had_records {
                    (self.committed, self.committed_to) = (self.committed + 1, unsent);
                }
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

    /// Records that the next transaction must contain all records with lower numbers, after an abort. It ends as soon as it
    /// has them: if the aborted one was too large, the next is smaller.
    pub fn must_contain(&mut self, number: u64) {
        (self.again_to, self.soon) = (number, true);
    }

    /// The time at which the transaction is due; `None` while it ends or waits for its last records.
    pub fn due(&self) -> Option<Timestamp> {
        (self.phase == Phase::Open && self.until.is_none()).then_some(self.due)
    }
}

impl TransactionRequest {
    /// Builds the request, with the offsets that may be committed.
    pub fn with(self, commits: Vec<Commit>) -> Ending {
        match self {
            Self::Begin => Ending::None,
            Self::Commit => Ending::Commit(commits),
            Self::Abort => Ending::Abort,
        }
    }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
