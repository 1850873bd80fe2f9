//! Records that wait, in the order in which they came.

use std::collections::VecDeque;

/// Records that wait; those that are alike are kept together. Times are in ticks.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    /// When they arrived in Kafka and when in this queue, and how many.
    records: VecDeque<(i64, i64, u64)>,
    len: u64,
}

impl Queue {
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

    /// When the first arrived in Kafka.
    pub(super) fn first(&self) -> Option<i64> {
        self.records.front().map(|record| record.0)
    }

    /// When the first came into this queue.
    pub(super) fn first_entered(&self) -> Option<i64> {
        self.records.front().map(|record| record.1)
    }

    /// The first so many, or all: when they arrived in Kafka, and how many.
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
