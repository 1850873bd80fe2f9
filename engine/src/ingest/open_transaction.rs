//! Open transactions of upstream producers. A consumer with `read_committed` reads no further than the first of them.
//!
//! The records after it are not lag of the pipeline, which has read all that can be read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::source::PartitionEnd;
use crate::position::{NextOffset, PartitionId};
use crate::time::Timestamp;

/// The time after which an open transaction is reported. Shorter ones are common and end by themselves.
pub const REPORT_AFTER: Duration = Duration::from_secs(10);

/// A transaction that holds reading back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// The first offset that cannot be read: the beginning of the transaction.
    pub at: NextOffset,
    /// The number of offsets from there on, including the transaction's own.
    pub offsets: u64,
    /// The time at which it was first seen open.
    pub since: Timestamp,
}

/// The partitions that open transactions hold back.
#[derive(Debug, Default)]
pub struct OpenTransactions(BTreeMap<PartitionId, (OpenTransaction, bool)>);

impl OpenTransactions {
    /// Takes note of the present end of a partition.
    pub fn observe(&mut self, partition: PartitionId, end: &PartitionEnd, now: Timestamp) {
        let offsets = u64::try_from(end.high.0.saturating_sub(end.stable.0)).unwrap_or(0);
        if offsets == 0 {
            self.0.remove(&partition);
            return;
        }
        let (held, is_reached) = self
            .0
            .entry(partition)
            .or_insert((OpenTransaction { at: end.stable, offsets, since: now }, false));
        if held.at != end.stable {
            // The transaction has ended, and another one is open.
            (held.at, held.since) = (end.stable, now);
        }
        held.offsets = offsets;
        *is_reached = end.lag == 0;
    }

    /// Removes a revoked partition.
    pub fn revoke(&mut self, partition: PartitionId) {
        self.0.remove(&partition);
    }

    /// The partitions that have been read up to a transaction that is open for [`REPORT_AFTER`] or longer.
    pub fn held(&self, now: Timestamp) -> impl Iterator<Item = (PartitionId, OpenTransaction)> {
        let is_old = move |held: &OpenTransaction| now.since(held.since) >= REPORT_AFTER;
        self.0
            .iter()
            .filter(move |(_, (held, is_reached))| *is_reached && is_old(held))
            .map(|(partition, (held, _))| (*partition, *held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::InputId;
    use crate::testing::at_second;

    const ONE: PartitionId = PartitionId { input: InputId(0), partition: 1 };

    fn end(lag: i64, stable: i64, high: i64) -> PartitionEnd {
        PartitionEnd { lag, stable: NextOffset(stable), high: NextOffset(high) }
    }

    fn held(open: &OpenTransactions, second: i64) -> Vec<OpenTransaction> {
        open.held(at_second(second)).map(|(_, held)| held).collect()
    }

    #[test]
    fn transaction_open_for_long_is_reported_with_offset_and_start() {
        let mut open = OpenTransactions::default();
        for second in 0..10 {
            open.observe(ONE, &end(0, 100, 101 + second), at_second(second));
            assert_eq!(held(&open, second), [], "at {second}");
        }
        open.observe(ONE, &end(0, 100, 550), at_second(10));
        assert_eq!(
            held(&open, 10),
            [OpenTransaction { at: NextOffset(100), offsets: 450, since: at_second(0) }]
        );
        open.observe(ONE, &end(0, 551, 551), at_second(11));
        assert_eq!(held(&open, 100), []);
    }

    #[test]
    fn consecutive_transactions_hold_nothing_back() {
        let mut open = OpenTransactions::default();
        for second in 0..100 {
            open.observe(ONE, &end(0, second * 10, second * 10 + 5), at_second(second));
            assert_eq!(held(&open, second), []);
        }
    }

    #[test]
    fn partition_with_lag_or_revoked_is_not_held_back() {
        let mut open = OpenTransactions::default();
        open.observe(ONE, &end(7, 100, 200), at_second(0));
        assert_eq!(held(&open, 60), []);
        open.observe(ONE, &end(0, 100, 200), at_second(60));
        assert_eq!(held(&open, 60).len(), 1);
        open.revoke(ONE);
        assert_eq!(held(&open, 60), []);
    }
}
