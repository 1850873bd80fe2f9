//! The records of the open transaction, until it has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_engine::budget::{Budget, Reservation};
use lockstep_engine::publish::sink::{OutRecord, Transactions};
use lockstep_engine::publish::transaction::{AfterTransaction, TransactionRequest};
use lockstep_engine::publish::{Ledger, Transaction};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use super::inbox::Inbox;
use super::pending::Pending;
use crate::load::Load;

/// The limits of one transaction.
#[derive(Clone, Copy)]
pub(super) struct Measure {
    /// The time for which a transaction stays open; longer if there is a backlog.
    pub(super) every: Duration,
    /// The bytes of records after which a transaction ends early. The records are kept until it is committed.
    pub(super) most_held: u64,
}

/// The open transaction and its records.
pub(super) struct TransactionBuffer {
    client: Box<dyn Transactions>,
    pub(super) transaction: Transaction,
    /// Records of this transaction, delivered or not, to send again if it is aborted.
    kept: Vec<(u64, Pending)>,
    /// Records of the last committed transaction. Later transactions reuse this memory: 100 000 records a second would need
    /// 100 MB of new memory a second.
    committed_records: Vec<(u64, Pending)>,
    /// The memory of this transaction's records.
    held: Reservation,
    measure: Measure,
    /// The meter of the load.
    load: Load,
    /// The number of committed transactions.
    committed: u64,
    /// All records of committed transactions have lower numbers.
    committed_to: u64,
    /// Records of an aborted transaction that were reported as delivered have lower numbers. The offsets to commit already count
    /// their sources as ended, so the next transaction must contain all of these records.
    again_to: u64,
    /// The transaction ends once it has all records with lower numbers.
    until: Option<u64>,
}

impl TransactionBuffer {
    /// Creates a buffer before the first transaction. Its records count against the budget, and the load decides how long a
    /// transaction stays open.
    pub(super) fn new(client: Box<dyn Transactions>, measure: Measure, budget: &Budget, load: Load) -> Self {
        Self {
            client,
            transaction: Transaction::new(measure.every),
            kept: Vec::new(),
            committed_records: Vec::new(),
            held: budget.reserve(0),
            measure,
            load,
            committed: 0,
            committed_to: 0,
            again_to: 0,
            until: None,
        }
    }

    /// Returns true if no transaction is ending and no record is kept.
    pub(super) fn is_empty(&self) -> bool {
        !self.transaction.is_ending() && self.kept.is_empty()
    }

    /// Returns true if the open transaction takes the record with this number.
    pub(super) fn takes(&self, number: u64) -> bool {
        self.transaction.is_open() && self.until.is_none_or(|until| number < until)
    }

    /// Returns true if the transaction is due and not closed yet.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.transaction.is_due(now) && self.until.is_none()
    }

    /// Returns the time at which the transaction is due; none while it ends or waits for its last records.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.transaction.due().filter(|_| self.until.is_none())
    }

    /// Closes the transaction to records from this number on. It ends when it has all records before.
    pub(super) fn close(&mut self, number: u64) {
        self.until = Some(number.max(self.again_to));
    }

    /// Returns the value of [`Self::committed`] from which on the present offsets are committed. The open transaction commits
    /// them, or the next one if the open one is sealed.
    pub(super) fn next_commit(&self) -> u64 {
        self.committed + 1 + u64::from(self.transaction.is_sealed())
    }

    /// Returns true if all records with lower numbers, and this many transactions, are committed.
    pub(super) fn has_committed(&self, number: u64, transactions: u64) -> bool {
        self.committed_to >= number && self.committed >= transactions
    }

    /// Counts the memory of a record that was sent in the transaction.
    pub(super) fn hold(&mut self, record: &OutRecord) {
        self.held.add(record.weight());
        if self.held.bytes() >= self.measure.most_held {
            self.transaction.end_soon();
        }
    }

    /// Keeps a record until the transaction is committed.
    pub(super) fn keep(&mut self, number: u64, pending: Pending) {
        self.kept.push((number, pending));
    }

    /// Ends the transaction if it is due, with the offsets that may be committed.
    ///
    /// # Errors
    /// When the metadata of a commit does not fit.
    pub(super) fn step(
        &mut self,
        now: Timestamp,
        (under_way, unsent): (bool, u64),
        ledger: &mut Ledger<Arc<Sample>>,
        inbox: &Arc<Inbox>,
    ) -> Result<(), String> {
        if self.transaction.is_open() && unsent < self.until.unwrap_or(self.again_to) {
            return Ok(());
        }
        let worth = !self.kept.is_empty() || under_way || ledger.has_moved();
        let Some(ask) = self.transaction.step(now, worth, under_way) else {
            if self.transaction.is_open() {
                self.until = None;
            }
            return Ok(());
        };
        let mut commits = if ask == TransactionRequest::Commit { ledger.committable() } else { Vec::new() };
        if commits.is_empty() && ask == TransactionRequest::Commit {
            // Without offsets the broker could not fence the transaction by its consumer group.
            commits = ledger.positions();
        }
        if ledger.withheld().is_some_and(|withheld| !withheld.is_empty()) {
            // Without this partition's offset, its results would be repeated after a restart.
            return Err(
                "too many records ended out of order for the metadata of a commit (delivery.metadata_limit)"
                    .into(),
            );
        }
        let (inbox, since) = (inbox.clone(), Instant::now());
        let then = move |ended| {
            telemetry::transaction(ask, &ended, since.elapsed());
            inbox.put_ended(ended);
        };
        self.client.end(ask.with(commits), Box::new(then));
        Ok(())
    }

    /// Returns the next action if the transaction has ended. Records that were not sent have numbers from `unsent` on.
    pub(super) fn ended(&mut self, now: Timestamp, inbox: &Inbox, unsent: u64) -> Option<AfterTransaction> {
        let ended = inbox.take_ended()?;
        // The first call only begins a transaction.
        let had_transaction = self.transaction.is_ending();
        let then = self.transaction.ended(ended, now, self.load.lock().backlog());
        if had_transaction && then == AfterTransaction::GoOn {
            self.committed += 1;
            self.committed_to = unsent;
            std::mem::swap(&mut self.kept, &mut self.committed_records);
        }
        self.held.clear();
        self.until = None;
        Some(then)
    }

    /// Takes the kept records of an aborted transaction in the order of sending. They get the numbers before `unsent` again. The
    /// next transaction ends with the records that it must contain: if this one was too large, the next is smaller.
    pub(super) fn take_kept(&mut self, unsent: u64) -> Vec<Pending> {
        let mut kept = std::mem::take(&mut self.kept);
        kept.sort_by_key(|(number, _)| *number);
        let optional = kept.iter().rev().take_while(|(_, pending)| pending.what.is_unreported()).count();
        self.again_to = unsent.saturating_sub(optional as u64);
        self.transaction.end_soon();
        kept.into_iter().map(|(_, pending)| pending).collect()
    }

    /// Drops the kept records of the last committed transaction.
    pub(super) fn forget_committed(&mut self) {
        self.committed_records.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use lockstep_engine::completion::Progress;
    use lockstep_engine::position::{InputId, NextOffset, Offset, PartitionId, Position};
    use lockstep_engine::publish::sink::{Ended, Ending};

    use super::*;

    /// Ends each transaction at once, as asked.
    struct AtOnce;

    impl Transactions for AtOnce {
        fn end(&mut self, _how: Ending, then: Box<dyn FnOnce(Ended) + Send>) {
            then(Ended::AsAsked);
        }
    }

    /// Returns a load without a backlog.
    fn load() -> Load {
        Load::new(Duration::from_secs(5))
    }

    fn record() -> OutRecord {
        OutRecord {
            topic: "state".into(),
            partition: None,
            key: None,
            payload: vec![0; 1000].into(),
            headers: Vec::new(),
            timestamp: None,
        }
    }

    fn transaction_buffer(every: Duration, most_held: u64) -> TransactionBuffer {
        TransactionBuffer::new(Box::new(AtOnce), Measure { every, most_held }, &Budget::new(0), load())
    }

    #[test]
    fn transaction_buffer_ends_a_large_transaction_early() {
        let mut transaction_buffer = transaction_buffer(Duration::from_secs(3600), 2000);
        let (mut ledger, inbox) = (Ledger::new(4096), Arc::new(Inbox::default()));
        let begun = Timestamp::from_millis(0);
        transaction_buffer.step(begun, (false, 0), &mut ledger, &inbox).unwrap();
        transaction_buffer.ended(begun, &inbox, 0).unwrap();
        for is_due in [false, true] {
            transaction_buffer.hold(&record());
            assert_eq!(transaction_buffer.transaction.is_due(Timestamp::from_millis(1)), is_due);
        }
    }

    #[test]
    fn transaction_buffer_passes_a_mark_with_the_commit_before_it() {
        let mut transaction_buffer = transaction_buffer(Duration::ZERO, u64::MAX);
        let (mut ledger, inbox) = (Ledger::new(4096), Arc::new(Inbox::default()));
        let partition = PartitionId { input: InputId(0), partition: 0 };
        ledger.assign(partition, NextOffset(0), &Progress::default(), 1);
        let step =
            |transaction_buffer: &mut TransactionBuffer, ledger: &mut Ledger<_>, now, under_way, unsent| {
                transaction_buffer
                    .step(Timestamp::from_millis(now), (under_way, unsent), ledger, &inbox)
                    .unwrap();
                transaction_buffer.ended(Timestamp::from_millis(now), &inbox, unsent).is_some()
            };
        assert!(step(&mut transaction_buffer, &mut ledger, 0, false, 0), "the first transaction has begun");
        for offset in 0..3 {
            ledger.open(Position { partition, offset: Offset(offset) }, 1);
        }
        // The first record has ended; one of its deliveries is outstanding. Another record waits.
        ledger.end(Position { partition, offset: Offset(0) }, 1);
        assert!(!step(&mut transaction_buffer, &mut ledger, 1, true, 5));
        let (mark, sent) = (transaction_buffer.next_commit(), 6);
        assert!(
            step(&mut transaction_buffer, &mut ledger, 2, false, 5)
                && !transaction_buffer.has_committed(5, mark)
        );
        for (offset, unsent, passes) in [(1, 5, false), (2, 6, true)] {
            ledger.end(Position { partition, offset: Offset(offset) }, 1);
            assert!(step(&mut transaction_buffer, &mut ledger, 3 + offset, false, unsent));
            assert_eq!(transaction_buffer.has_committed(sent, mark), passes);
        }
    }

    #[test]
    fn transaction_buffer_counts_ended_transactions_only() {
        let mut transaction_buffer = transaction_buffer(Duration::ZERO, u64::MAX);
        let (mut ledger, inbox) = (Ledger::new(4096), Arc::new(Inbox::default()));
        let partition = PartitionId { input: InputId(0), partition: 0 };
        let position = Position { partition, offset: Offset(0) };
        ledger.assign(partition, NextOffset(0), &Progress::default(), 1);
        ledger.open(position, 1);
        for committed in [0, 1] {
            transaction_buffer
                .step(Timestamp::from_millis(committed), (false, 0), &mut ledger, &inbox)
                .unwrap();
            assert!(transaction_buffer.ended(Timestamp::from_millis(committed), &inbox, 0).is_some());
            assert_eq!(transaction_buffer.committed, committed.cast_unsigned());
            ledger.end(position, 1);
        }
    }
}
