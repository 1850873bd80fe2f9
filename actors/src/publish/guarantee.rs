//! The delivery guarantee of a pipeline: decides when records go to the sink, what follows from the sink's reports, and when
//! offsets are committed.

use std::sync::Arc;

use lockstep_engine::position::Commit;
use lockstep_engine::publish::Ledger;
use lockstep_engine::publish::sink::{DeliveryError, OutRecord};
use lockstep_engine::publish::transaction::CommitMark;
use lockstep_engine::sample::Sample;
use lockstep_engine::time::Timestamp;

use super::pending::{Delivered, Outbound, Pending};
use super::record_maker::RecordMaker;
use super::stream_state::StreamStateLog;

/// The parts of the publish stage that a guarantee works with.
pub(super) struct PublishContext<'a> {
    pub(super) ledger: &'a mut Ledger<Arc<Sample>>,
    pub(super) stream_state: &'a mut StreamStateLog,
    pub(super) records: &'a RecordMaker,
    /// Records that have ended. The stage reports them to the ledger afterwards.
    pub(super) delivered: &'a mut Vec<Delivered>,
}

/// A delivery guarantee, with the sink and the records that the sink has or will get.
pub(super) trait DeliveryGuarantee: Send {
    /// Sends a record behind all earlier ones. It waits in the queue while the sink or the guarantee does not take it.
    fn send(&mut self, record: OutRecord, what: Outbound);

    /// Sends waiting records as far as they are taken now. Drops those read under assignments that no longer hold. Returns the
    /// number of dropped results.
    fn send_waiting(&mut self, ledger: &Ledger<Arc<Sample>>) -> usize;

    /// Returns true if so much waits that the stage must take no more messages.
    fn is_overfull(&self) -> bool;

    /// Handles the acknowledgement of a record. Returns the record if it has ended and was not returned before.
    fn acknowledged(&mut self, number: u64, now: Timestamp) -> Option<Delivered>;

    /// Handles a failed delivery. Returns the record if no repetition can deliver it.
    fn refused(&mut self, number: u64, error: &DeliveryError, now: Timestamp) -> Option<Pending>;

    /// Acts on the reports that have arrived: prepares refused records to be sent again, and handles the end of a transaction.
    ///
    /// # Errors
    /// When nothing more can be committed.
    fn after_reports(&mut self, now: Timestamp, context: &mut PublishContext<'_>) -> Result<(), String>;

    /// Does what is due: sends refused records again, commits offsets.
    ///
    /// # Errors
    /// When the offsets cannot be committed.
    fn do_due(&mut self, now: Timestamp, context: &mut PublishContext<'_>) -> Result<(), String>;

    /// Returns the next time at which work is due.
    fn next_deadline(&self) -> Option<Timestamp>;

    /// Sets a mark behind all records so far. All bundles of the partitions to drain have been sent.
    fn mark(&mut self, context: &mut PublishContext<'_>) -> CommitMark;

    /// Returns true if the records before a mark have ended, so that their partitions can be released. Otherwise hastens that.
    fn drain(&mut self, mark: CommitMark, context: &PublishContext<'_>) -> bool;

    /// Prepares the release of revoked partitions. `is_drained` is false if their time is up.
    fn release(&mut self, is_drained: bool, context: &mut PublishContext<'_>);

    /// Ends the work, once every bundle has been sent. Returns true when every record has ended and only [`Self::last_commits`]
    /// are left.
    ///
    /// # Errors
    /// As [`Self::do_due`].
    fn finish(&mut self, now: Timestamp, context: &mut PublishContext<'_>) -> Result<bool, String>;

    /// Returns the offsets to commit when the process leaves the group.
    fn last_commits(&self, ledger: &mut Ledger<Arc<Sample>>) -> Vec<Commit>;

    /// Sends the stream state that belongs to the results sent so far.
    fn send_stream_state(&mut self, context: &mut PublishContext<'_>) {
        let ledger = &*context.ledger;
        for (record, what) in
            context.stream_state.take(|partition, assignment| ledger.holds(partition, assignment))
        {
            self.send(record, what);
        }
    }
}

#[cfg(test)]
#[path = "guarantee_tests.rs"]
mod tests;
