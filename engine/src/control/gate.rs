//! Who pauses when the byte budget is spent.
//!
//! Alignment waits for the input that is furthest behind in event time, so pausing that one while the
//! buffers hold the memory would wait for ever: the inputs ahead are paused first. The one furthest behind
//! is paused only when the budget is spent to the last byte and bundles are under way whose end frees some.

use std::collections::BTreeMap;

use crate::position::PartitionId;
use crate::time::Timestamp;

/// Decides which partitions are paused.
#[derive(Debug)]
pub struct Gate {
    /// Pausing begins above `high` bytes and ends below `low`.
    high: u64,
    low: u64,
    limit: u64,
    /// By partition, the latest event time seen; none before its first sample.
    partitions: BTreeMap<PartitionId, Option<Timestamp>>,
    spent: bool,
    paused: Vec<PartitionId>,
}

impl Gate {
    /// A gate for a budget of so many bytes. It closes at four fifths, as what has been polled already
    /// still comes, and opens again at three fifths.
    pub fn new(limit: u64) -> Self {
        Self {
            high: limit / 5 * 4,
            low: limit / 5 * 3,
            limit,
            partitions: BTreeMap::new(),
            spent: false,
            paused: Vec::new(),
        }
    }

    /// A partition is ours.
    pub fn assign(&mut self, partition: PartitionId) {
        self.partitions.insert(partition, None);
    }

    /// A partition is no longer ours.
    pub fn revoke(&mut self, partition: PartitionId) {
        self.partitions.remove(&partition);
    }

    /// A sample of this event time came through a partition.
    pub fn seen(&mut self, partition: PartitionId, event_time: Timestamp) {
        if let Some(latest) = self.partitions.get_mut(&partition) {
            *latest = (*latest).max(Some(event_time));
        }
    }

    /// The partitions to pause now, or `None` when that has not changed since last asked. `busy` says
    /// whether bundles are under way.
    pub fn decide(&mut self, used: u64, busy: bool) -> Option<&[PartitionId]> {
        self.spent = used > if self.spent { self.low } else { self.high };
        let paused = if self.spent && used >= self.limit && busy {
            self.partitions.keys().copied().collect()
        } else if self.spent {
            self.all_but_the_furthest_behind()
        } else {
            Vec::new()
        };
        if paused == self.paused {
            return None;
        }
        self.paused = paused;
        Some(&self.paused)
    }

    /// Whether the budget is spent.
    pub fn is_closed(&self) -> bool {
        self.spent
    }

    /// The partitions that are paused.
    pub fn paused(&self) -> &[PartitionId] {
        &self.paused
    }

    fn all_but_the_furthest_behind(&self) -> Vec<PartitionId> {
        // By input, since it is inputs that wait for one another; one that has yet to be heard is furthest behind.
        let mut latest: BTreeMap<_, Option<Timestamp>> = BTreeMap::new();
        for (partition, seen) in &self.partitions {
            let of_input = latest.entry(partition.input).or_insert(*seen);
            *of_input = (*of_input).max(*seen);
        }
        let behind = latest.iter().min_by_key(|(_, seen)| **seen).map(|(input, _)| *input);
        self.partitions.keys().filter(|partition| Some(partition.input) != behind).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::InputId;

    fn partition(input: u16) -> PartitionId {
        PartitionId { input: InputId(input), partition: 0 }
    }

    fn gate() -> Gate {
        let mut gate = Gate::new(100);
        for input in 0..3 {
            gate.assign(partition(input));
            gate.seen(partition(input), Timestamp::from_millis(i64::from(input)));
        }
        gate
    }

    #[test]
    fn the_inputs_ahead_are_paused_first() {
        let mut gate = gate();
        assert_eq!(gate.decide(80, true), None);
        assert_eq!(gate.decide(81, true), Some(&[partition(1), partition(2)][..]));
        gate.seen(partition(0), Timestamp::from_millis(9));
        assert_eq!(gate.decide(99, true), Some(&[partition(0), partition(2)][..]));
    }

    #[test]
    fn the_input_furthest_behind_is_paused_only_while_bundles_are_under_way() {
        let mut gate = gate();
        assert_eq!(gate.decide(100, true).map(<[_]>::len), Some(3));
        assert_eq!(gate.decide(100, false), Some(&[partition(1), partition(2)][..]));
    }

    #[test]
    fn an_input_that_was_never_heard_is_furthest_behind() {
        let mut gate = gate();
        gate.assign(partition(3));
        assert_eq!(gate.decide(99, true), Some(&[partition(0), partition(1), partition(2)][..]));
    }

    #[test]
    fn a_gate_does_not_flutter() {
        let mut gate = gate();
        assert!(gate.decide(81, true).is_some());
        assert_eq!(gate.decide(61, true), None, "still closed between low and high");
        assert_eq!(gate.decide(60, true), Some(&[][..]));
        assert_eq!(gate.decide(79, true), None);
    }
}
