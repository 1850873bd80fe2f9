//! Waiting records, in the order of arrival.

use std::collections::VecDeque;

/// Waiting records. Equal records are kept together. Times are in ticks.
#[derive(Clone, Debug, Default)]
pub(super) struct RecordQueue {
    /// When records arrived in Kafka and when in this queue, and their number.
    records: VecDeque<(i64, i64, u64)>,
    len: u64,
}

impl RecordQueue {
    pub(super) fn push(&mut self, arrived: i64, entered: i64, count: u64) {
        if count == 0 {
            return;
        }
        self.len += count;
        match self.records.back_mut() {
            Some(last) if (last.0, last.1) == (arrived, entered) => last.2 += count,
            _ => self.records.push_back((arrived, entered, count)),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// When the first record arrived in Kafka.
    pub(super) fn first(&self) -> Option<i64> {
        self.records.front().map(|record| record.0)
    }

    /// When the first record entered this queue.
    pub(super) fn first_entered(&self) -> Option<i64> {
        self.records.front().map(|record| record.1)
    }

    /// Takes the first `most` records, or all: when they arrived in Kafka, and their number.
    pub(super) fn take(&mut self, most: u64) -> Vec<(i64, u64)> {
        let mut taken = Vec::new();
        let mut left = most;
        while left > 0
            && let Some(first) = self.records.front_mut()
        {
            let count = first.2.min(left);
            taken.push((first.0, count));
            left -= count;
            self.len -= count;
            first.2 -= count;
            if first.2 == 0 {
                self.records.pop_front();
            }
        }
        taken
    }
}
