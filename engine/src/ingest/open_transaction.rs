//! Open transactions upstream: a reader of committed records sees no further than the first one that has not ended.
//!
//! What lies behind it is not lag of the pipeline, which has read all that there is to read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::source::End;
use crate::position::{NextOffset, PartitionId};
use crate::time::Timestamp;

/// A transaction that is open for less is one of many, each of which ends in time.
pub const WORTH_SAYING: Duration = Duration::from_secs(10);

/// A transaction that holds reading back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The first offset that cannot be read: where the transaction began.
    pub at: NextOffset,
    /// How many offsets lie behind that, its own among them.
    pub offsets: u64,
    /// Since when it has been seen to be open.
    pub since: Timestamp,
}

/// Which partitions are held back.
#[derive(Debug, Default)]
pub struct OpenTransactions(BTreeMap<PartitionId, (Held, bool)>);

impl OpenTransactions {
    /// Where a partition ends now.
    pub fn observe(&mut self, partition: PartitionId, end: &End, now: Timestamp) {
        let offsets = u64::try_from(end.high.0.saturating_sub(end.stable.0)).unwrap_or(0);
        if offsets == 0 {
            self.0.remove(&partition);
            return;
        }
        let (held, is_reached) =
            self.0.entry(partition).or_insert((Held { at: end.stable, offsets, since: now }, false));
        if held.at != end.stable {
            // That one has ended, and the next is another.
            (held.at, held.since) = (end.stable, now);
        }
        held.offsets = offsets;
        *is_reached = end.lag == 0;
    }

    /// A partition is no longer ours.
    pub fn revoke(&mut self, partition: PartitionId) {
        self.0.remove(&partition);
    }

    /// The partitions that have been read up to a transaction which has been open for long.
    pub fn held(&self, now: Timestamp) -> impl Iterator<Item = (PartitionId, Held)> {
        let is_worth_saying = move |held: &Held| now.since(held.since) >= WORTH_SAYING;
        self.0
            .iter()
            .filter(move |(_, (held, is_reached))| *is_reached && is_worth_saying(held))
            .map(|(partition, (held, _))| (*partition, *held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::InputId;

    const ONE: PartitionId = PartitionId { input: InputId(0), partition: 1 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn end(lag: i64, stable: i64, high: i64) -> End {
        End { lag, stable: NextOffset(stable), high: NextOffset(high) }
    }

    fn held(open: &OpenTransactions, second: i64) -> Vec<Held> {
        open.held(at(second)).map(|(_, held)| held).collect()
    }

    #[test]
    fn a_transaction_that_stays_open_is_said_with_its_offset_and_since_when() {
        let mut open = OpenTransactions::default();
        for second in 0..10 {
            open.observe(ONE, &end(0, 100, 101 + second), at(second));
            assert_eq!(held(&open, second), [], "at {second}");
        }
        open.observe(ONE, &end(0, 100, 550), at(10));
        assert_eq!(held(&open, 10), [Held { at: NextOffset(100), offsets: 450, since: at(0) }]);
        open.observe(ONE, &end(0, 551, 551), at(11));
        assert_eq!(held(&open, 100), []);
    }

    #[test]
    fn transactions_that_follow_one_another_hold_nothing_back() {
        let mut open = OpenTransactions::default();
        for second in 0..100 {
            open.observe(ONE, &end(0, second * 10, second * 10 + 5), at(second));
            assert_eq!(held(&open, second), []);
        }
    }

    #[test]
    fn what_has_not_been_read_up_to_it_or_has_gone_is_not_held_back() {
        let mut open = OpenTransactions::default();
        open.observe(ONE, &end(7, 100, 200), at(0));
        assert_eq!(held(&open, 60), []);
        open.observe(ONE, &end(0, 100, 200), at(60));
        assert_eq!(held(&open, 60).len(), 1);
        open.revoke(ONE);
        assert_eq!(held(&open, 60), []);
    }
}
