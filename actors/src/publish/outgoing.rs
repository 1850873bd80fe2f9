//! Outgoing records, from the publish stage to their acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::fault::Fault;
use lockstep_engine::infer::job::Job;
use lockstep_engine::pipeline::OnUndeliverable;
use lockstep_engine::position::PartitionId;
use lockstep_engine::publish::Ledger;
use lockstep_engine::publish::result::Timing;
use lockstep_engine::publish::side_output::{self, Keeps, LeftOut};
use lockstep_engine::publish::sink::{Delivery, OutRecord, Sink};
use lockstep_engine::publish::transaction::AfterTransaction;
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use super::dead_letter::DeadLetter;
use super::inbox::Inbox;
use super::pending::{Dead, Delivered, Outbound, Pending};
use super::send_queue::SendQueue;
use super::transaction_buffer::TransactionBuffer;
use crate::message::PublishMessage;
use crate::stage_actor::Outbox;

mod again;
mod refused;

/// The wait before a refused record is sent again. The client has tried for minutes by then.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A place behind all records sent so far.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    /// The number of the next record.
    sent: u64,
    /// The number of transactions that must be committed, if results go in transactions.
    committed: u64,
}

/// The sink and the records that it has or will get.
pub(super) struct Outgoing {
    dead_letters: Arc<str>,
    late: Option<Arc<str>>,
    sink: Box<dyn Sink>,
    inbox: Arc<Inbox>,
    /// Reused memory for arrived deliveries.
    arrived: Vec<Delivery>,
    queue: SendQueue,
    /// The bytes that may wait before publish takes no more messages.
    most_waiting: usize,
    /// Refused records to send again.
    refused: Vec<Pending>,
    again_at: Option<Timestamp>,
    /// Records of a refused batch, or withdrawn because of it, by number. They go before all waiting records once none is in
    /// flight.
    in_turn: Vec<(u64, Pending)>,
    on_undeliverable: OnUndeliverable,
    /// Repeated records have numbers before this one.
    sent_again: u64,
    transaction_buffer: Option<TransactionBuffer>,
}

impl Outgoing {
    /// Sets the policy for a record that not even a stub can replace.
    pub(super) fn on_undeliverable(self, on_undeliverable: OnUndeliverable) -> Self {
        Self { on_undeliverable, ..self }
    }

    /// Creates an empty queue. With transactions, the number is the bytes that may wait for the next one.
    pub(super) fn new(
        (dead_letters, late): (Arc<str>, Option<Arc<str>>),
        sink: Box<dyn Sink>,
        inbox: Arc<Inbox>,
        transaction_buffer: Option<(TransactionBuffer, usize)>,
    ) -> Self {
        let (transaction_buffer, most_waiting) = transaction_buffer.unzip();
        Self {
            dead_letters,
            late,
            sink,
            inbox,
            arrived: Vec::new(),
            queue: SendQueue::default(),
            most_waiting: most_waiting.unwrap_or(0),
            refused: Vec::new(),
            again_at: None,
            in_turn: Vec::new(),
            on_undeliverable: OnUndeliverable::default(),
            sent_again: 0,
            transaction_buffer,
        }
    }

    /// Returns the inbox of deliveries.
    pub(super) fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }

    /// Returns true if no record is in flight or waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
            && self.refused.is_empty()
            && self.in_turn.is_empty()
            && self.transaction_buffer.as_ref().is_none_or(TransactionBuffer::is_empty)
    }

    /// Sets a mark behind all records so far.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            sent: self.queue.next(),
            committed: self.transaction_buffer.as_ref().map_or(0, TransactionBuffer::next_commit),
        }
    }

    /// Returns true if all records before a mark have ended. With transactions, all transactions with such records must be
    /// committed, and one with the positions of that time.
    pub(super) fn has_passed(&self, mark: Mark) -> bool {
        match &self.transaction_buffer {
            Some(transaction_buffer) => transaction_buffer.has_committed(mark.sent, mark.committed),
            None => {
                let all_sent = self.refused.is_empty() && self.in_turn.is_empty();
                all_sent && self.queue.first() >= mark.sent.max(self.sent_again)
            }
        }
    }

    /// Sends a result.
    pub(super) fn result(&mut self, job: Arc<Job>, record: OutRecord, timing: Timing, now: Timestamp) {
        self.send(record, Outbound::Result { job, timing, sent_at: now });
    }

    /// Sends a dead letter.
    pub(super) fn dead_letter(&mut self, dead_letter: DeadLetter, topic: String, fault: Fault) {
        self.send_dead(Dead { dead_letter, topic, fault, keeps: Keeps::All });
    }

    fn send_dead(&mut self, dead: Dead) {
        let record = self.dead(&dead);
        self.send(record, Outbound::Dead(Box::new(dead)));
    }

    /// Sends a sample that is in no bundle, if there is a topic for it.
    pub(super) fn left_out(&mut self, sample: Arc<Sample>, topic: String, why: LeftOut) -> bool {
        let Some(late) = &self.late else { return false };
        let record = side_output::left_out(late, &sample.record, &topic, why, Keeps::All);
        self.send(record, Outbound::LeftOut { sample, topic, why, keeps: Keeps::All });
        true
    }

    /// Sends a record once the sink and the transaction take it.
    pub(super) fn send(&mut self, record: OutRecord, what: Outbound) {
        // Waiting records go first, or results would overtake one another.
        if self.queue.has_unsent()
            || !hand_over(&mut self.transaction_buffer, &mut *self.sink, &record, self.queue.next())
        {
            self.queue.push_unsent(Box::new(record), what);
        } else {
            let record = keeps(&self.transaction_buffer, &what).then(|| Box::new(record));
            self.queue.push_sent(Pending { what, record });
        }
    }

    /// Sends waiting records as far as the sink and the transaction take them, and drops those read under assignments that no
    /// longer hold. Returns the number of dropped results.
    pub(super) fn send_waiting(&mut self, holds: impl Fn(PartitionId, u32) -> bool) -> usize {
        let mut abandoned = 0;
        while let Some((number, pending)) = self.queue.first_unsent() {
            if !pending.what.is_ours(&holds) {
                abandoned += usize::from(pending.what.is_result());
                self.queue.abandon();
                continue;
            }
            let Some(record) = &pending.record else {
                self.queue.abandon();
                continue;
            };
            if !hand_over(&mut self.transaction_buffer, &mut *self.sink, record, number) {
                break;
            }
            let is_kept = keeps(&self.transaction_buffer, &pending.what);
            self.queue.sent(is_kept);
        }
        abandoned
    }

    /// Handles the deliveries that have arrived. Records that the broker refused for reasons of its own are sent again: with the
    /// whole transaction, or alone after a while.
    pub(super) fn deliveries(
        &mut self,
        now: Timestamp,
        ended: &mut Vec<Delivered>,
        out: &mut Outbox<PublishMessage>,
    ) {
        let mut arrived = std::mem::take(&mut self.arrived);
        self.inbox.take(&mut arrived);
        for delivery in arrived.drain(..) {
            let Some(pending) = self.queue.take(delivery.token) else { continue };
            match delivery.outcome {
                Ok(()) => match &mut self.transaction_buffer {
                    Some(transaction_buffer) => {
                        let (delivered, kept) = pending.report(now);
                        ended.extend(delivered);
                        transaction_buffer.keep(delivery.token, kept);
                    }
                    None => ended.extend(pending.what.delivered(now)),
                },
                Err(error) => {
                    telemetry::delivery_failed();
                    self.undelivered(delivery.token, pending, &error, now, ended, out);
                }
            }
        }
        self.arrived = arrived;
    }

    /// Ends the open transaction before it is due.
    pub(super) fn end_soon(&mut self) {
        if let Some(transaction_buffer) = &mut self.transaction_buffer {
            transaction_buffer.transaction.end_soon();
        }
    }

    /// Returns true if the open transaction must be closed now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.transaction_buffer.as_ref().is_some_and(|transaction_buffer| transaction_buffer.is_due(now))
    }

    /// Closes the open transaction: with the records sent so far, or with all waiting ones too. Stream state needs all of them,
    /// since state and the results before it belong together.
    pub(super) fn close(&mut self, with_all: bool) {
        if let Some(transaction_buffer) = &mut self.transaction_buffer {
            transaction_buffer.close(if with_all { self.queue.next() } else { self.queue.unsent() });
        }
    }

    /// Returns the time at which the open transaction is due.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.transaction_buffer.as_ref().and_then(TransactionBuffer::due)
    }

    /// Ends the open transaction if it is due, with the positions that may be committed.
    ///
    /// # Errors
    /// When the metadata of a position does not fit.
    pub(super) fn step(&mut self, now: Timestamp, ledger: &mut Ledger<Arc<Sample>>) -> Result<(), String> {
        match &mut self.transaction_buffer {
            Some(transaction_buffer) => transaction_buffer.step(
                now,
                (self.queue.is_under_way(), self.queue.unsent()),
                ledger,
                &self.inbox,
            ),
            None => Ok(()),
        }
    }

    /// Marks the open transaction for an abort.
    pub(super) fn doom(&mut self, why: &str) {
        if let Some(transaction_buffer) = &mut self.transaction_buffer {
            transaction_buffer.transaction.doom(why);
        }
    }

    /// Returns true if results go in transactions.
    pub(super) fn is_transactional(&self) -> bool {
        self.transaction_buffer.is_some()
    }

    /// Handles the end of a transaction. Returns true if it was committed, and false if it was aborted: its records are sent again
    /// before all waiting ones.
    pub(super) fn transaction_ended(
        &mut self,
        now: Timestamp,
        out: &mut Outbox<PublishMessage>,
    ) -> Option<bool> {
        let unsent = self.queue.unsent();
        match self.transaction_buffer.as_mut()?.ended(now, &self.inbox, unsent)? {
            AfterTransaction::GoOn => Some(true),
            AfterTransaction::Again(why) => {
                tracing::warn!(why, "transaction aborted, sending its records again");
                let kept = self
                    .transaction_buffer
                    .as_mut()
                    .map(|transaction_buffer| transaction_buffer.take_kept(unsent))
                    .unwrap_or_default();
                self.sink.resume();
                self.queue.push_again(kept.into_iter());
                Some(false)
            }
            AfterTransaction::Fail(why) => {
                out.fail(format!("no further transaction is possible: {why}"));
                None
            }
        }
    }

    /// Drops the kept records of a committed transaction. That takes as long as sending some thousand records, so the broker
    /// should have work meanwhile.
    pub(super) fn forget_committed(&mut self) {
        if let Some(transaction_buffer) = &mut self.transaction_buffer {
            transaction_buffer.forget_committed();
        }
    }

    /// Returns true if the waiting bytes exceed the limit, so that publish takes no more messages.
    pub(super) fn is_overfull(&self) -> bool {
        self.queue.unsent_bytes() > self.most_waiting
    }

    /// Returns the time at which refused records are sent again.
    pub(super) fn again_at(&self) -> Option<Timestamp> {
        self.again_at
    }
}

/// Gives the sink a record, if the sink and the transaction take it.
fn hand_over(
    transaction_buffer: &mut Option<TransactionBuffer>,
    sink: &mut dyn Sink,
    record: &OutRecord,
    number: u64,
) -> bool {
    if transaction_buffer.as_ref().is_some_and(|transaction_buffer| !transaction_buffer.takes(number))
        || sink.send(record, number).is_err()
    {
        return false;
    }
    if let Some(transaction_buffer) = transaction_buffer {
        transaction_buffer.hold(record);
    }
    true
}

/// Returns true if the content of a sent record is kept.
fn keeps(transaction_buffer: &Option<TransactionBuffer>, what: &Outbound) -> bool {
    transaction_buffer.is_some() || matches!(what, Outbound::State { .. })
}

#[cfg(test)]
mod tests;
