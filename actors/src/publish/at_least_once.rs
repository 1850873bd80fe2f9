//! At-least-once: publish commits an offset after the broker has acknowledged all that comes from the records before it.
//!
//! An acknowledged record has ended, and the ledger knows at once. Every `limits.commit_every` publish sends the stream state and
//! commits the ledger's offsets through the source. A refused record is sent again; until then its source has not ended, so no
//! offset passes it. A crash between acknowledgement and commit repeats results under the same ids.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::ingest::source::SourceControl;
use lockstep_engine::position::Commit;
use lockstep_engine::publish::Ledger;
use lockstep_engine::publish::sink::{DeliveryError, OutRecord, Refusal, Sink};
use lockstep_engine::publish::transaction::CommitMark;
use lockstep_engine::sample::Sample;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use super::guarantee::{DeliveryGuarantee, PublishContext};
use super::pending::{Delivered, Outbound, Pending};
use super::record_maker::RecordMaker;
use super::sender::Sender;

/// The wait before a refused record is sent again. The client has tried for minutes by then.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The at-least-once guarantee.
pub(super) struct AtLeastOnce {
    sender: Sender,
    control: Arc<Mutex<Option<Arc<dyn SourceControl>>>>,
    commit_every: Duration,
    next_commit: Timestamp,
    /// Records refused for a reason that may pass, to send again at `again_at`.
    refused: Vec<Pending>,
    again_at: Option<Timestamp>,
    /// Records of a refused batch, or withdrawn because of it, by number. They go before all waiting records once none is in
    /// flight.
    in_turn: Vec<(u64, Pending)>,
    /// Repeated records have numbers before this one.
    sent_again: u64,
}

impl AtLeastOnce {
    /// Creates the guarantee over a sink. It commits through `control`: none before the source has started, and none again after
    /// the pipeline has failed.
    pub(super) fn new(
        sink: Box<dyn Sink>,
        control: Arc<Mutex<Option<Arc<dyn SourceControl>>>>,
        commit_every: Duration,
    ) -> Self {
        Self {
            sender: Sender::new(sink, false),
            control,
            commit_every,
            next_commit: Timestamp::MIN,
            refused: Vec::new(),
            again_at: None,
            in_turn: Vec::new(),
            sent_again: 0,
        }
    }

    /// Commits the offsets that have changed.
    fn commit(&self, ledger: &mut Ledger<Arc<Sample>>) {
        let commits = ledger.committable();
        if let Some(withheld) = ledger.withheld().filter(|withheld| !withheld.is_empty()) {
            tracing::error!(
                ?withheld,
                "commit withheld: too many records ended out of order for the metadata (delivery.metadata_limit)"
            );
        }
        if !commits.is_empty()
            && let Some(control) = &*self.control.lock()
        {
            control.commit(commits);
        }
    }

    /// Sends refused records again, behind the waiting ones.
    fn send_again(&mut self, context: &mut PublishContext<'_>) {
        self.again_at = None;
        for pending in std::mem::take(&mut self.refused) {
            if let Some(Pending { what, record: Some(record) }) =
                remake(pending, context.records, context.delivered)
            {
                self.send(*record, what);
            }
        }
        self.sent_again = self.sender.queue.next();
    }
}

impl DeliveryGuarantee for AtLeastOnce {
    fn send(&mut self, record: OutRecord, what: Outbound) {
        self.sender.send(record, what, |_| true);
    }

    fn send_waiting(&mut self, ledger: &Ledger<Arc<Sample>>) -> usize {
        let holds = |partition, assignment| ledger.holds(partition, assignment);
        self.sender.send_waiting(holds, |_| true).abandoned
    }

    /// Returns true if any record waits for the sink.
    fn is_overfull(&self) -> bool {
        self.sender.queue.unsent_bytes() > 0
    }

    fn acknowledged(&mut self, number: u64, now: Timestamp) -> Option<Delivered> {
        self.sender.queue.take(number)?.what.delivered(now)
    }

    fn refused(&mut self, number: u64, error: &DeliveryError, now: Timestamp) -> Option<Pending> {
        let pending = self.sender.queue.take(number)?;
        match error.refusal {
            Refusal::Poison | Refusal::Unsent | Refusal::Fatal => return Some(pending),
            Refusal::Batch => {
                tracing::debug!(error = error.message, "batch refused, sending its records again");
                self.in_turn.push((number, pending));
            }
            Refusal::Passing => {
                // The sink has already reported the refusal as a condition.
                tracing::debug!(error = error.message, "record refused, sending it again");
                self.refused.push(pending);
                self.again_at.get_or_insert(now.after(AGAIN_AFTER));
            }
        }
        None
    }

    /// Puts the records of a refused batch before all waiting ones, once none is in flight.
    fn after_reports(&mut self, _now: Timestamp, context: &mut PublishContext<'_>) -> Result<(), String> {
        if self.in_turn.is_empty() || self.sender.queue.is_under_way() {
            return Ok(());
        }
        let mut in_turn = std::mem::take(&mut self.in_turn);
        in_turn.sort_by_key(|(number, _)| *number);
        let made = in_turn.into_iter();
        let made = made.filter_map(|(_, pending)| remake(pending, context.records, context.delivered));
        let again: Vec<Pending> = made.collect();
        // These records get the last numbers before the waiting ones. Records repeated earlier may wait behind them.
        self.sent_again = self.sent_again.max(self.sender.queue.unsent());
        self.sender.repeat(again.into_iter());
        Ok(())
    }

    fn do_due(&mut self, now: Timestamp, context: &mut PublishContext<'_>) -> Result<(), String> {
        if now >= self.next_commit {
            self.next_commit = now.after(self.commit_every);
            self.send_stream_state(context);
            self.commit(context.ledger);
        }
        if self.again_at.is_some_and(|at| now >= at) {
            self.send_again(context);
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        Some(self.again_at.map_or(self.next_commit, |at| at.min(self.next_commit)))
    }

    fn mark(&mut self, context: &mut PublishContext<'_>) -> CommitMark {
        self.send_stream_state(context);
        CommitMark { number: self.sender.queue.next(), transactions: 0 }
    }

    fn drain(&mut self, mark: CommitMark, _context: &PublishContext<'_>) -> bool {
        let all_sent = self.refused.is_empty() && self.in_turn.is_empty();
        all_sent && self.sender.queue.first() >= mark.number.max(self.sent_again)
    }

    fn release(&mut self, _is_drained: bool, context: &mut PublishContext<'_>) {
        self.commit(context.ledger);
    }

    fn finish(&mut self, _now: Timestamp, context: &mut PublishContext<'_>) -> Result<bool, String> {
        self.send_stream_state(context);
        Ok(self.sender.queue.is_empty() && self.refused.is_empty() && self.in_turn.is_empty())
    }

    fn last_commits(&self, ledger: &mut Ledger<Arc<Sample>>) -> Vec<Commit> {
        ledger.positions()
    }
}

/// Gives a record its content again. A result that cannot be made again ends as a fault.
fn remake(
    Pending { what, record }: Pending,
    records: &RecordMaker,
    delivered: &mut Vec<Delivered>,
) -> Option<Pending> {
    match (record.map_or_else(|| records.again(&what).map(Box::new), Ok), what) {
        (Ok(record), what) => Some(Pending { what, record: Some(record) }),
        (Err(why), Outbound::Result { job, .. }) => {
            let fault = Fault::new(StageKind::Publish, Reason::ModelFailed, why);
            delivered.push(Delivered::Poison { job, fault });
            None
        }
        (Err(why), _) => {
            tracing::error!(why, "record cannot be made again");
            None
        }
    }
}
