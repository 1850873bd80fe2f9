//! The sink behind the queue of records to send.

use lockstep_engine::position::PartitionId;
use lockstep_engine::publish::sink::{OutRecord, Sink};

use super::pending::{Outbound, Pending};
use super::send_queue::SendQueue;

/// Sends records in order, as far as the sink takes them.
pub(super) struct Sender {
    sink: Box<dyn Sink>,
    pub(super) queue: SendQueue,
    keeps_content: bool,
}

/// The outcome of sending waiting records.
#[derive(Default)]
pub(super) struct SentWaiting {
    /// The bytes sent.
    pub(super) bytes: usize,
    /// The number of dropped results.
    pub(super) abandoned: usize,
}

impl Sender {
    /// Creates an empty queue. With `keeps_content` every sent record keeps its content, so that it can be sent again as it was.
    /// Otherwise only stream state does: all other records can be made again.
    pub(super) fn new(sink: Box<dyn Sink>, keeps_content: bool) -> Self {
        Self { sink, queue: SendQueue::default(), keeps_content }
    }

    /// Sends a record if none waits, `takes` is true for its number, and the sink takes it. Then returns true. Otherwise the record
    /// waits.
    pub(super) fn send(&mut self, record: OutRecord, what: Outbound, takes: impl Fn(u64) -> bool) -> bool {
        let number = self.queue.next();
        // Waiting records go first, or results would overtake one another.
        let is_sent = !self.queue.has_unsent() && takes(number) && self.sink.send(&record, number).is_ok();
        if is_sent {
            let is_kept = self.keeps_content || what.is_state();
            let record = is_kept.then(|| Box::new(record));
            self.queue.push_sent(Pending { what, record });
        } else {
            self.queue.push_unsent(Box::new(record), what);
        }
        is_sent
    }

    /// Sends waiting records until `takes` is false for a number or the sink is full. Drops those read under assignments that no
    /// longer hold.
    pub(super) fn send_waiting(
        &mut self,
        holds: impl Fn(PartitionId, u32) -> bool,
        takes: impl Fn(u64) -> bool,
    ) -> SentWaiting {
        let mut sent = SentWaiting::default();
        while let Some((number, pending)) = self.queue.first_unsent() {
            if !pending.what.is_ours(&holds) {
                sent.abandoned += usize::from(pending.what.is_result());
                self.queue.abandon();
                continue;
            }
            let Some(record) = &pending.record else {
                self.queue.abandon();
                continue;
            };
            if !takes(number) || self.sink.send(record, number).is_err() {
                break;
            }
            sent.bytes += record.weight();
            let is_kept = self.keeps_content || pending.what.is_state();
            self.queue.sent(is_kept);
        }
        sent
    }

    /// Puts records to repeat before all waiting ones, under the numbers before theirs. No record may be in flight.
    pub(super) fn repeat(&mut self, records: impl DoubleEndedIterator<Item = Pending>) {
        self.sink.resume();
        self.queue.push_again(records);
    }
}
