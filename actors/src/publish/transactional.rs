//! Exactly-once: records and the offsets that result from them are committed in one transaction, or not at all.
//!
//! [`Transaction`] decides which records the open transaction contains and when it ends. Then publish sends nothing, and waits for
//! all acknowledgements. The client adds the ledger's offsets and commits. An acknowledged record counts as ended at once, so that
//! the offsets of the same transaction contain it. Its content is kept until the commit: after an abort publish sends all of it
//! again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_engine::budget::{Budget, Reservation};
use lockstep_engine::position::Commit;
use lockstep_engine::publish::sink::{DeliveryError, OutRecord, Refusal, Sink, Transactions};
use lockstep_engine::publish::transaction::{AfterTransaction, CommitMark, Sending, TransactionRequest};
use lockstep_engine::publish::{Ledger, Transaction};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use super::guarantee::{DeliveryGuarantee, PublishContext};
use super::inbox::Inbox;
use super::pending::{Delivered, Outbound, Pending};
use super::sender::Sender;
use crate::load::Load;

/// The divisor of the byte budget for the records of one transaction.
const HELD: u64 = 4;

/// The limits of transactions.
#[derive(Clone, Copy)]
pub(super) struct TransactionLimits {
    /// The time for which a transaction stays open; longer if there is a backlog.
    pub(super) every: Duration,
    /// The bytes that may wait for the next transaction.
    pub(super) most_waiting: usize,
}

/// The exactly-once guarantee.
pub(super) struct Transactional {
    sender: Sender,
    client: Box<dyn Transactions>,
    inbox: Arc<Inbox>,
    transaction: Transaction,
    /// Records of this transaction that have their delivery report, to send again if it is aborted.
    kept: Vec<(u64, Pending)>,
    /// Records of the last committed transaction. Later transactions reuse this memory: 100 000 records a second would need
    /// 100 MB of new memory a second.
    committed_records: Vec<(u64, Pending)>,
    /// The memory of this transaction's records, out of the byte budget.
    held: Reservation,
    /// The bytes of records after which a transaction ends early.
    most_held: u64,
    most_waiting: usize,
    /// The meter of the load: it decides how long a transaction stays open.
    load: Load,
}

impl Transactional {
    /// Creates the guarantee over a sink and its transactions, before the first transaction. The ends of transactions arrive in
    /// `inbox`.
    pub(super) fn new(
        sink: Box<dyn Sink>,
        client: Box<dyn Transactions>,
        inbox: Arc<Inbox>,
        limits: TransactionLimits,
        budget: &Budget,
        load: Load,
    ) -> Self {
        Self {
            sender: Sender::new(sink, true),
            client,
            inbox,
            transaction: Transaction::new(limits.every),
            kept: Vec::new(),
            committed_records: Vec::new(),
            held: budget.reserve(0),
            most_held: budget.limit() / HELD,
            most_waiting: limits.most_waiting,
            load,
        }
    }

    /// Counts the memory of sent records.
    fn hold(&mut self, bytes: usize) {
        self.held.add(bytes);
        if self.held.bytes() >= self.most_held {
            self.transaction.end_soon();
        }
    }

    /// Returns true if nothing is left to commit.
    fn is_committed(&self, context: &PublishContext<'_>) -> bool {
        self.sender.queue.is_empty()
            && self.kept.is_empty()
            && !self.transaction.is_ending()
            && context.stream_state.is_empty()
            && !context.ledger.has_moved()
    }

    /// Asks the client for the next end, if it is time.
    fn step(&mut self, now: Timestamp, ledger: &mut Ledger<Arc<Sample>>) -> Result<(), String> {
        let sending = Sending {
            unsent: self.sender.queue.unsent(),
            under_way: self.sender.queue.is_under_way(),
            has_content: !self.kept.is_empty() || ledger.has_moved(),
        };
        let Some(request) = self.transaction.step(now, sending) else { return Ok(()) };
        let commits = match request {
            TransactionRequest::Commit => offsets(ledger)?,
            TransactionRequest::Begin | TransactionRequest::Abort => Vec::new(),
        };
        let (inbox, since) = (self.inbox.clone(), Instant::now());
        let then = move |ended| {
            telemetry::transaction(request, &ended, since.elapsed());
            inbox.put_ended(ended);
        };
        self.client.end(request.with(commits), Box::new(then));
        Ok(())
    }

    /// Sends the records of an aborted transaction again, before all waiting ones. Acknowledged ones have been reported to the
    /// ledger, so the next transaction must contain them.
    fn repeat(&mut self) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.sort_by_key(|(number, _)| *number);
        let optional = kept.iter().rev().take_while(|(_, pending)| pending.what.is_unreported()).count();
        self.transaction.must_contain(self.sender.queue.unsent().saturating_sub(optional as u64));
        self.sender.repeat(kept.into_iter().map(|(_, pending)| pending));
    }
}

/// Returns the offsets that a transaction commits.
fn offsets(ledger: &mut Ledger<Arc<Sample>>) -> Result<Vec<Commit>, String> {
    let mut commits = ledger.committable();
    if commits.is_empty() {
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
    Ok(commits)
}

impl DeliveryGuarantee for Transactional {
    fn send(&mut self, record: OutRecord, what: Outbound) {
        let (bytes, transaction) = (record.weight(), &self.transaction);
        if self.sender.send(record, what, |number| transaction.takes(number)) {
            self.hold(bytes);
        }
    }

    fn send_waiting(&mut self, ledger: &Ledger<Arc<Sample>>) -> usize {
        let (holds, transaction) =
            (|partition, assignment| ledger.holds(partition, assignment), &self.transaction);
        let sent = self.sender.send_waiting(holds, |number| transaction.takes(number));
        if sent.bytes > 0 {
            self.hold(sent.bytes);
        }
        // That takes as long as sending some thousand records, so the broker should have work meanwhile.
        self.committed_records.clear();
        sent.abandoned
    }

    fn is_overfull(&self) -> bool {
        self.sender.queue.unsent_bytes() > self.most_waiting
    }

    fn acknowledged(&mut self, number: u64, now: Timestamp) -> Option<Delivered> {
        let (delivered, kept) = self.sender.queue.take(number)?.report(now);
        self.kept.push((number, kept));
        delivered
    }

    /// Dooms the transaction. The next one contains the record, if a repetition can deliver it.
    fn refused(&mut self, number: u64, error: &DeliveryError, _now: Timestamp) -> Option<Pending> {
        let pending = self.sender.queue.take(number)?;
        // A record that the client could not queue is no part of the transaction.
        if error.refusal != Refusal::Unsent {
            self.transaction.doom(&error.message);
        }
        match error.refusal {
            Refusal::Poison => self.transaction.has_progressed(),
            Refusal::Unsent | Refusal::Fatal => {}
            Refusal::Passing | Refusal::Batch => {
                tracing::debug!(error = error.message, "record of a transaction not delivered");
                self.kept.push((number, pending));
                return None;
            }
        }
        Some(pending)
    }

    fn after_reports(&mut self, now: Timestamp, context: &mut PublishContext<'_>) -> Result<(), String> {
        let Some(ended) = self.inbox.take_ended() else { return Ok(()) };
        let unsent = self.sender.queue.unsent();
        let then = self.transaction.ended(ended, now, self.load.lock().backlog(), unsent);
        self.held.clear();
        match then {
            AfterTransaction::GoOn => std::mem::swap(&mut self.kept, &mut self.committed_records),
            AfterTransaction::Again(why) => {
                tracing::warn!(why, "transaction aborted, sending its records again");
                self.repeat();
                context.ledger.report_again();
            }
            AfterTransaction::Fail(why) => return Err(format!("no further transaction is possible: {why}")),
        }
        Ok(())
    }

    /// Ends the open transaction if it is due.
    fn do_due(&mut self, now: Timestamp, context: &mut PublishContext<'_>) -> Result<(), String> {
        if self.transaction.is_due(now) {
            let has_state = !context.stream_state.is_empty();
            self.send_stream_state(context);
            let queue = &self.sender.queue;
            // Stream state and all results before it belong together, waiting ones too.
            self.transaction.close(if has_state { queue.next() } else { queue.unsent() });
        }
        self.step(now, context.ledger)
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.transaction.due()
    }

    fn mark(&mut self, _context: &mut PublishContext<'_>) -> CommitMark {
        self.transaction.mark(self.sender.queue.next())
    }

    fn drain(&mut self, mark: CommitMark, context: &PublishContext<'_>) -> bool {
        let is_drained = self.transaction.has_passed(mark) || self.is_committed(context);
        if !is_drained {
            self.transaction.end_soon();
        }
        is_drained
    }

    fn release(&mut self, is_drained: bool, _context: &mut PublishContext<'_>) {
        if !is_drained {
            // The offsets of these partitions can no longer be committed with the transaction's results.
            self.transaction.doom("its partitions were revoked");
        }
    }

    fn finish(&mut self, now: Timestamp, context: &mut PublishContext<'_>) -> Result<bool, String> {
        if self.is_committed(context) {
            return Ok(true);
        }
        self.transaction.end_soon();
        self.do_due(now, context)?;
        Ok(false)
    }

    /// Returns none: the last transaction has committed them.
    fn last_commits(&self, _ledger: &mut Ledger<Arc<Sample>>) -> Vec<Commit> {
        Vec::new()
    }
}
