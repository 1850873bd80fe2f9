//! Records that have been handed to the sink, until it is known what became of them.

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
use lockstep_engine::publish::transaction::Then;
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use super::PublishMessage;
use super::dead_letter::DeadLetter;
use super::inbox::Inbox;
use super::pending::{Dead, Delivered, Outbound, Pending};
use super::send_queue::SendQueue;
use super::transaction_buffer::TransactionBuffer;
use crate::stage_actor::Outbox;

mod again;
mod refused;

/// How long a record that the broker did not take waits to be sent again. The client has tried for minutes by then.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A place behind what was to be sent.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    /// The number of the next.
    sent: u64,
    /// Where results go in transactions, how many count then.
    counted: u64,
}

/// The sink and what it has been given.
pub(super) struct Outgoing {
    dead_letters: Arc<str>,
    late: Option<Arc<str>>,
    sink: Box<dyn Sink>,
    inbox: Arc<Inbox>,
    /// Stage for what has arrived, kept from one time to the next.
    arrived: Vec<Delivery>,
    queue: SendQueue,
    /// How many bytes may wait before nothing more is taken in.
    most_waiting: usize,
    /// What the broker did not take, to be sent again.
    refused: Vec<Pending>,
    again_at: Option<Timestamp>,
    /// What was refused together with others, or taken back because of that, by its number. It goes before all that waits as soon
    /// as nothing is under way.
    in_turn: Vec<(u64, Pending)>,
    on_undeliverable: OnUndeliverable,
    /// What was sent again has numbers before this one.
    sent_again: u64,
    transaction_buffer: Option<TransactionBuffer>,
}

impl Outgoing {
    /// What becomes of a record of which nothing can be kept.
    pub(super) fn on_undeliverable(self, on_undeliverable: OnUndeliverable) -> Self {
        Self { on_undeliverable, ..self }
    }

    /// Nothing under way. With transactions so many bytes of records may wait for the next.
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

    /// Where deliveries arrive.
    pub(super) fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }

    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
            && self.refused.is_empty()
            && self.in_turn.is_empty()
            && self.transaction_buffer.as_ref().is_none_or(TransactionBuffer::is_empty)
    }

    /// Sets a mark behind all that was to be sent.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            sent: self.queue.next(),
            counted: self.transaction_buffer.as_ref().map_or(0, TransactionBuffer::next_to_count),
        }
    }

    /// Whether all that was to be sent before a mark has come to its end: where results go in transactions, whether all those
    /// count that hold some of it, and one that holds what else had ended by then.
    pub(super) fn has_passed(&self, mark: Mark) -> bool {
        match &self.transaction_buffer {
            Some(transaction_buffer) => transaction_buffer.counts(mark.sent, mark.counted),
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
    pub(super) fn dead_letter(&mut self, letter: DeadLetter, topic: String, fault: Fault) {
        self.send_dead(Dead { letter, topic, fault, keeps: Keeps::All });
    }

    fn send_dead(&mut self, dead: Dead) {
        let record = self.dead(&dead);
        self.send(record, Outbound::Dead(Box::new(dead)));
    }

    /// Sends a sample that took no part, if there is a topic for it.
    pub(super) fn left_out(&mut self, sample: Arc<Sample>, topic: String, why: LeftOut) -> bool {
        let Some(late) = &self.late else { return false };
        let record = side_output::left_out(late, &sample.record, &topic, why, Keeps::All);
        self.send(record, Outbound::LeftOut { sample, topic, why, keeps: Keeps::All });
        true
    }

    /// Sends a record, as soon as there is room and a transaction for it.
    pub(super) fn send(&mut self, record: OutRecord, what: Outbound) {
        // What waits goes first, or results would overtake one another.
        if self.queue.has_unsent()
            || !hand_over(&mut self.transaction_buffer, &mut *self.sink, &record, self.queue.next())
        {
            self.queue.push_unsent(Box::new(record), what);
        } else {
            let record = keeps(&self.transaction_buffer, &what).then(|| Box::new(record));
            self.queue.push_sent(Pending { what, record });
        }
    }

    /// Sends what waits, as far as there is room and a transaction for it, and lets go of what was read under assignments
    /// that no longer hold. Says how many results that were.
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

    /// What has come to its end since last asked. What the broker did not take for reasons of its own is sent
    /// again: with the whole transaction, or by itself after a while.
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
                        let (delivered, kept) = pending.told(now);
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

    /// The transaction under way is not to wait until it is due.
    pub(super) fn end_soon(&mut self) {
        if let Some(transaction_buffer) = &mut self.transaction_buffer {
            transaction_buffer.transaction.end_soon();
        }
    }

    /// Whether the transaction under way is to be closed now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.transaction_buffer.as_ref().is_some_and(|transaction_buffer| transaction_buffer.is_due(now))
    }

    /// The transaction under way ends with what has been sent, or with all that was to be sent until now: with what streams
    /// carry on, which is of no use without the results before it, and theirs are not without it.
    pub(super) fn close(&mut self, with_all: bool) {
        if let Some(transaction_buffer) = &mut self.transaction_buffer {
            transaction_buffer.close(if with_all { self.queue.next() } else { self.queue.unsent() });
        }
    }

    /// When the transaction under way is due.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.transaction_buffer.as_ref().and_then(TransactionBuffer::due)
    }

    /// Ends the transaction under way if it is time, with the positions that may be committed.
    ///
    /// # Errors
    /// When a position cannot be among them.
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

    /// Nothing of the transaction under way may count.
    pub(super) fn doom(&mut self, why: &str) {
        if let Some(transaction_buffer) = &mut self.transaction_buffer {
            transaction_buffer.transaction.doom(why);
        }
    }

    /// Whether results go in transactions.
    pub(super) fn is_transactional(&self) -> bool {
        self.transaction_buffer.is_some()
    }

    /// Whether the transaction counts that was to end, if it has. All of one that does not is to be sent again, before
    /// what waits.
    pub(super) fn transaction_ended(
        &mut self,
        now: Timestamp,
        out: &mut Outbox<PublishMessage>,
    ) -> Option<bool> {
        let unsent = self.queue.unsent();
        match self.transaction_buffer.as_mut()?.ended(now, &self.inbox, unsent)? {
            Then::GoOn => Some(true),
            Then::Again(why) => {
                tracing::warn!("a transaction was aborted, and its results are sent again: {why}");
                let kept = self
                    .transaction_buffer
                    .as_mut()
                    .map(|transaction_buffer| transaction_buffer.take_kept(unsent))
                    .unwrap_or_default();
                self.sink.resume();
                self.queue.push_again(kept.into_iter());
                Some(false)
            }
            Then::Fail(why) => {
                out.fail(format!("transactions have come to an end: {why}"));
                None
            }
        }
    }

    /// Lets go of what was kept of a transaction that counts. That takes as long as to send some thousand records, and the
    /// broker had better have work meanwhile.
    pub(super) fn forget_counted(&mut self) {
        if let Some(transaction_buffer) = &mut self.transaction_buffer {
            transaction_buffer.forget_counted();
        }
    }

    /// Whether so much waits that no more should come.
    pub(super) fn is_overfull(&self) -> bool {
        self.queue.unsent_bytes() > self.most_waiting
    }

    /// When there is something to be sent again.
    pub(super) fn again_at(&self) -> Option<Timestamp> {
        self.again_at
    }
}

/// Gives the sink a record, if there is room and a transaction for it.
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

/// Whether a record is kept when it has been sent.
fn keeps(transaction_buffer: &Option<TransactionBuffer>, what: &Outbound) -> bool {
    transaction_buffer.is_some() || matches!(what, Outbound::Carried { .. })
}

#[cfg(test)]
mod tests;
