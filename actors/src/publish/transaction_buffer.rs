//! What is sent in a transaction, until that has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_engine::budget::{Budget, Reservation};
use lockstep_engine::publish::sink::{OutRecord, Transactions};
use lockstep_engine::publish::transaction::{Ask, Then};
use lockstep_engine::publish::{Ledger, Transaction};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use super::inbox::Inbox;
use super::pending::Pending;
use crate::autoscaler::Load;

/// How much goes into a transaction.
#[derive(Clone, Copy)]
pub(super) struct Measure {
    /// How long one gathers, or longer where there is a backlog.
    pub(super) every: Duration,
    /// How many bytes of records one holds before it ends all the same: they are kept until it counts.
    pub(super) most_held: u64,
}

/// The transaction under way.
pub(super) struct TransactionBuffer {
    client: Box<dyn Transactions>,
    pub(super) transaction: Transaction,
    /// What was delivered in this transaction, or not: to be sent again, should it not count.
    kept: Vec<(u64, Pending)>,
    /// What was kept of one that counts. Its room is that of the next: at a hundred thousand records a second there would be
    /// a hundred megabytes a second of new memory.
    counted_kept: Vec<(u64, Pending)>,
    /// For the records that are in this one.
    held: Reservation,
    measure: Measure,
    /// How much waits to be read.
    load: Load,
    /// How many have ended that count.
    counted: u64,
    /// All that was sent in them has lower numbers.
    counted_to: u64,
    /// What was in one that does not count and was told as delivered has lower numbers. Positions say of it that it has ended:
    /// the next cannot count without all of it.
    again_to: u64,
    /// It is to end with what has lower numbers.
    until: Option<u64>,
}

impl TransactionBuffer {
    /// None has begun. What one holds counts against the budget, and how long it gathers depends on the load.
    pub(super) fn new(client: Box<dyn Transactions>, measure: Measure, budget: &Budget, load: Load) -> Self {
        Self {
            client,
            transaction: Transaction::new(measure.every),
            kept: Vec::new(),
            counted_kept: Vec::new(),
            held: budget.reserve(0),
            measure,
            load,
            counted: 0,
            counted_to: 0,
            again_to: 0,
            until: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.transaction.is_ending() && self.kept.is_empty()
    }

    /// Whether the record of that number can be sent in it.
    pub(super) fn takes(&self, number: u64) -> bool {
        self.transaction.is_open() && self.until.is_none_or(|until| number < until)
    }

    /// Whether it is to end now, and that has not been seen to.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.transaction.is_due(now) && self.until.is_none()
    }

    /// When it is due; none while it ends, which is told, or waits for what has to be in it.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.transaction.due().filter(|_| self.until.is_none())
    }

    /// It takes nothing from this number on, and ends when it has all before it.
    pub(super) fn close(&mut self, number: u64) {
        self.until = Some(number.max(self.again_to));
    }

    /// How many transactions count once one does that can hold what is to be committed now.
    pub(super) fn next_to_count(&self) -> u64 {
        self.counted + 1 + u64::from(self.transaction.is_sealed())
    }

    /// Whether all records with lower numbers count, and so many transactions.
    pub(super) fn counts(&self, number: u64, transactions: u64) -> bool {
        self.counted_to >= number && self.counted >= transactions
    }

    /// A record was sent in it.
    pub(super) fn hold(&mut self, record: &OutRecord) {
        self.held.add(record.weight());
        if self.held.bytes() >= self.measure.most_held {
            self.transaction.end_soon();
        }
    }

    /// Keeps what was sent in it and has been told of, until it counts.
    pub(super) fn keep(&mut self, number: u64, pending: Pending) {
        self.kept.push((number, pending));
    }

    /// Ends it if it is time, with the positions that may be committed.
    ///
    /// # Errors
    /// When a position cannot be among them.
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
        let mut commits = if ask == Ask::Commit { ledger.committable() } else { Vec::new() };
        if commits.is_empty() && ask == Ask::Commit {
            // A transaction without positions would not tell the broker whose it is.
            commits = ledger.positions();
        }
        if ledger.withheld().is_some_and(|withheld| !withheld.is_empty()) {
            // Without its position what it led to would be done again.
            return Err(
                "too much has ended out of order for the metadata of a commit (delivery.metadata_limit)"
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

    /// What is to be done, if it has ended. What has not been sent has numbers from `unsent` on.
    pub(super) fn ended(&mut self, now: Timestamp, inbox: &Inbox, unsent: u64) -> Option<Then> {
        let ended = inbox.take_ended()?;
        // The first only begins.
        let was_one = self.transaction.is_ending();
        let then = self.transaction.ended(ended, now, self.load.lock().backlog());
        if was_one && then == Then::GoOn {
            self.counted += 1;
            self.counted_to = unsent;
            std::mem::swap(&mut self.kept, &mut self.counted_kept);
        }
        self.held.clear();
        self.until = None;
        Some(then)
    }

    /// What was kept of one that does not count, in the order in which it was sent. It gets the numbers before `unsent` again.
    /// The next ends with what has to be in it: if this one was too large for the brokers, the next is smaller.
    pub(super) fn take_kept(&mut self, unsent: u64) -> Vec<Pending> {
        let mut kept = std::mem::take(&mut self.kept);
        kept.sort_by_key(|(number, _)| *number);
        let need_not = kept.iter().rev().take_while(|(_, pending)| pending.what.is_unsaid()).count();
        self.again_to = unsent.saturating_sub(need_not as u64);
        self.transaction.end_soon();
        kept.into_iter().map(|(_, pending)| pending).collect()
    }

    /// Lets go of what was kept of one that counts.
    pub(super) fn forget_counted(&mut self) {
        self.counted_kept.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use lockstep_engine::completion::Progress;
    use lockstep_engine::position::{InputId, NextOffset, Offset, PartitionId, Position};
    use lockstep_engine::publish::sink::{Ended, Ending};

    use super::*;

    /// Does what it is asked at once.
    struct AtOnce;

    impl Transactions for AtOnce {
        fn end(&mut self, _how: Ending, then: Box<dyn FnOnce(Ended) + Send>) {
            then(Ended::AsAsked);
        }
    }

    /// Nothing waits to be read.
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
    fn a_transaction_that_holds_much_ends_before_it_is_due() {
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
    fn a_mark_is_passed_with_the_transaction_that_holds_what_is_before_it() {
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
        assert!(step(&mut transaction_buffer, &mut ledger, 0, false, 0), "the first has begun");
        for offset in 0..3 {
            ledger.open(Position { partition, offset: Offset(offset) }, 1);
        }
        // The first record has ended, and of what was sent for it not all has been told of yet. Another waits.
        ledger.end(Position { partition, offset: Offset(0) }, 1);
        assert!(!step(&mut transaction_buffer, &mut ledger, 1, true, 5));
        let (mark, sent) = (transaction_buffer.next_to_count(), 6);
        assert!(
            step(&mut transaction_buffer, &mut ledger, 2, false, 5) && !transaction_buffer.counts(5, mark)
        );
        for (offset, unsent, passes) in [(1, 5, false), (2, 6, true)] {
            ledger.end(Position { partition, offset: Offset(offset) }, 1);
            assert!(step(&mut transaction_buffer, &mut ledger, 3 + offset, false, unsent));
            assert_eq!(transaction_buffer.counts(sent, mark), passes);
        }
    }

    #[test]
    fn a_transaction_is_counted_when_it_has_ended_and_not_when_the_first_begins() {
        let mut transaction_buffer = transaction_buffer(Duration::ZERO, u64::MAX);
        let (mut ledger, inbox) = (Ledger::new(4096), Arc::new(Inbox::default()));
        let partition = PartitionId { input: InputId(0), partition: 0 };
        let position = Position { partition, offset: Offset(0) };
        ledger.assign(partition, NextOffset(0), &Progress::default(), 1);
        ledger.open(position, 1);
        for counted in [0, 1] {
            transaction_buffer
                .step(Timestamp::from_millis(counted), (false, 0), &mut ledger, &inbox)
                .unwrap();
            assert!(transaction_buffer.ended(Timestamp::from_millis(counted), &inbox, 0).is_some());
            assert_eq!(transaction_buffer.counted, counted.cast_unsigned());
            ledger.end(position, 1);
        }
    }
}
