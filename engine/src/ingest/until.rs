//! A bounded read: up to the ends that partitions had when a run began, and no further.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::position::{NextOffset, PartitionId};
use crate::sample::Record;

/// The offset after the last record of each partition of the inputs' topics, at one time.
pub type EndOffsets = BTreeMap<PartitionId, NextOffset>;

/// The read progress of the assigned partitions.
#[derive(Debug)]
pub struct UntilEnd {
    ends: EndOffsets,
    /// True once the assignment of partitions is known.
    is_assigned: bool,
    assigned: BTreeMap<PartitionId, ReadRange>,
}

#[derive(Debug)]
struct ReadRange {
    from: i64,
    next: i64,
    end: i64,
}

impl UntilEnd {
    /// Creates a read up to these ends.
    pub fn new(ends: EndOffsets) -> Self {
        Self { ends, is_assigned: false, assigned: BTreeMap::new() }
    }

    /// Adds an assigned partition, read from `from` on. One that did not exist when the run began is at its end.
    pub fn assign(&mut self, partition: PartitionId, from: NextOffset) {
        let end = self.ends.get(&partition).map_or(from.0, |end| end.0.max(from.0));
        self.assigned.insert(partition, ReadRange { from: from.0, next: from.0, end });
    }

    /// Takes note that the assignment is complete: all assigned partitions, if any, have been added.
    pub fn assigned(&mut self) {
        self.is_assigned = true;
    }

    /// Removes a revoked partition.
    pub fn revoke(&mut self, partition: PartitionId) {
        self.assigned.remove(&partition);
        self.is_assigned &= !self.assigned.is_empty();
    }

    /// Takes note of records of a partition, ascending by offset, and removes all that came after the run began.
    pub fn take(&mut self, partition: PartitionId, records: &mut Vec<Record>) {
        let Some(stretch) = self.assigned.get_mut(&partition) else { return };
        if let Some(last) = records.last() {
            stretch.next = stretch.next.max(last.position.offset.next().0.min(stretch.end));
            if last.position.offset.0 >= stretch.end {
                // If the last offsets before the end are markers of transactions, only a later record shows that they
                // are passed.
                stretch.next = stretch.end;
            }
        }
        records.retain(|record| record.position.offset.0 < stretch.end);
    }

    /// Takes note that the source has delivered all records of a partition.
    pub fn at_end(&mut self, partition: PartitionId) {
        if let Some(stretch) = self.assigned.get_mut(&partition) {
            stretch.next = stretch.end;
        }
    }

    /// True if all partitions have been read to their ends.
    pub fn is_reached(&self) -> bool {
        self.is_assigned && self.assigned.values().all(|stretch| stretch.next >= stretch.end)
    }

    /// The number of offsets of the assigned partitions that have been read, and their total.
    pub fn progress(&self) -> (u64, u64) {
        let sum =
            |length: fn(&ReadRange) -> i64| self.assigned.values().map(length).sum::<i64>().unsigned_abs();
        (sum(|stretch| stretch.next - stretch.from), sum(|stretch| stretch.end - stretch.from))
    }
}

/// The time that the rest takes at the rate so far; none before there is a rate.
pub fn time_left(done: u64, total: u64, elapsed: Duration) -> Option<Duration> {
    let left = total.saturating_sub(done) as f64;
    (done > 0)
        .then(|| elapsed.as_secs_f64() * left / done as f64)
        .and_then(|s| Duration::try_from_secs_f64(s).ok())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::position::{InputId, Position};
    use crate::testing::partition;
    use crate::time::Timestamp;

    fn records(number: i32, offsets: impl Iterator<Item = i64>) -> Vec<Record> {
        let record = |offset| Record {
            position: Position::new(InputId(0), number, offset),
            key: None,
            payload: Bytes::new(),
            headers: Vec::new(),
            timestamp: None,
            polled_at: Timestamp::MIN,
            read_at: Timestamp::MIN,
        };
        offsets.map(record).collect()
    }

    fn take(until: &mut UntilEnd, number: i32, offsets: std::ops::Range<i64>) -> usize {
        let mut records = records(number, offsets);
        until.take(partition(number), &mut records);
        records.len()
    }

    /// Partition 0 ends at 10, partition 1 at 5.
    fn two() -> UntilEnd {
        UntilEnd::new(EndOffsets::from([(partition(0), NextOffset(10)), (partition(1), NextOffset(5))]))
    }

    #[test]
    fn bounded_read_ends_where_partitions_ended_at_the_beginning() {
        let mut until = two();
        assert!(!until.is_reached(), "no partition is assigned yet");
        until.assign(partition(0), NextOffset(2));
        until.assign(partition(1), NextOffset(0));
        until.assigned();
        assert_eq!(until.progress(), (0, 13));
        assert_eq!(take(&mut until, 0, 2..7), 5);
        assert_eq!(take(&mut until, 0, 7..20), 3);
        assert_eq!((until.progress(), until.is_reached()), ((8, 13), false));
        assert_eq!(take(&mut until, 1, 0..5), 5);
        assert!(until.is_reached());
        assert_eq!(take(&mut until, 1, 5..9), 0);
    }

    #[test]
    fn bounded_read_ends_by_a_report_or_by_a_later_record() {
        let mut until = two();
        until.assign(partition(0), NextOffset(0));
        until.assign(partition(1), NextOffset(0));
        until.assigned();
        take(&mut until, 0, 0..9);
        take(&mut until, 1, 0..4);
        until.at_end(partition(0));
        assert!(!until.is_reached());
        assert_eq!(take(&mut until, 1, 6..7), 0);
        assert!(until.is_reached());
        assert_eq!(until.progress(), (15, 15));
    }

    #[test]
    fn bounded_read_does_not_wait_for_empty_new_or_lost_partitions() {
        let mut until = two();
        until.assigned();
        assert!(until.is_reached(), "others have them all");
        until.assign(partition(0), NextOffset(10));
        until.assign(partition(7), NextOffset(3));
        assert!(until.is_reached());
        until.assign(partition(1), NextOffset(0));
        assert!(!until.is_reached());
        until.revoke(partition(1));
        assert!(until.is_reached());
        until.revoke(partition(0));
        until.revoke(partition(7));
        assert!(!until.is_reached(), "a rebalance is under way");
    }

    #[test]
    fn time_left_follows_from_the_rate_so_far() {
        let seconds = Duration::from_secs;
        assert_eq!(time_left(0, 100, seconds(5)), None);
        assert_eq!(time_left(25, 100, seconds(5)), Some(seconds(15)));
        assert_eq!(time_left(100, 100, seconds(5)), Some(Duration::ZERO));
    }
}
