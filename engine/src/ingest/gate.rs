//! The gate: it pauses partitions when the byte budget is used up, or when an input is too far ahead of another.
//!
//! Alignment waits for the input that is furthest behind in event time. So when the budget is used up, the gate
//! pauses the inputs ahead first: to pause the one behind while the buffers hold the memory would wait for ever. The
//! gate pauses that one only when the last byte is used and bundles are under way whose end frees some.
//!
//! A bound on the drift between inputs ([`DriftLimit`]) pauses the inputs ahead before the budget is used up. So hours of
//! one topic are not read while the other is still at its first minute. Flink calls that watermark alignment
//! (FLIP-182).
//!
//! The gate compares inputs by partition number: the topics of a pipeline are co-partitioned, so partitions of the
//! same number wait for one another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::position::{InputId, PartitionId};
use crate::time::Timestamp;

/// The bound on the drift between inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftLimit {
    /// The most event time by which a partition may be ahead of another input's partition of the same number. One
    /// further ahead is paused until it is at most half as far ahead. None to pause none.
    pub most: Option<Duration>,
    /// The idle timeout of each input. Others do not wait for a partition that is read and brings no sample for this
    /// time, nor for one whose end the source has reported.
    pub idle: Vec<Duration>,
}

/// Decides which partitions are paused.
#[derive(Debug)]
pub struct Gate {
    /// Pausing begins above `high` bytes and ends below `low`.
    high: u64,
    low: u64,
    limit: u64,
    drift: DriftLimit,
    partitions: BTreeMap<PartitionId, Reached>,
    is_spent: bool,
    is_full: bool,
    paused: Vec<PartitionId>,
}

/// The progress of a partition in event time.
#[derive(Clone, Copy, Debug)]
struct Reached {
    /// The latest event time seen; none before its first sample.
    latest: Option<Timestamp>,
    /// The last time at which it brought a sample, was assigned or was paused, by the intake clock.
    active: Timestamp,
    /// True if there is more to read; none if that is not known.
    has_more: Option<bool>,
    /// True if it is too far ahead of another.
    is_ahead: bool,
}

impl Gate {
    /// Creates a gate for a budget of `limit` bytes. It closes at four fifths, since records that have been polled
    /// still arrive, and opens again at three fifths.
    pub fn new(limit: u64, drift: DriftLimit) -> Self {
        Self {
            high: limit / 5 * 4,
            low: limit / 5 * 3,
            limit,
            drift,
            partitions: BTreeMap::new(),
            is_spent: false,
            is_full: false,
            paused: Vec::new(),
        }
    }

    /// Adds an assigned partition.
    pub fn assign(&mut self, partition: PartitionId, now: Timestamp) {
        let reached = Reached { latest: None, active: now, has_more: None, is_ahead: false };
        self.partitions.insert(partition, reached);
    }

    /// Removes a revoked partition.
    pub fn revoke(&mut self, partition: PartitionId) {
        self.partitions.remove(&partition);
    }

    /// Takes note of a sample of this event time from a partition.
    pub fn seen(&mut self, partition: PartitionId, event_time: Timestamp, now: Timestamp) {
        if let Some(reached) = self.partitions.get_mut(&partition) {
            reached.latest = reached.latest.max(Some(event_time));
            reached.active = reached.active.max(now);
            // A report of "nothing left" is outdated now; a report of "more" may still hold.
            reached.has_more = reached.has_more.filter(|has_more| *has_more);
        }
    }

    /// Takes note of the consumer lag of a partition.
    pub fn lag(&mut self, partition: PartitionId, records: i64) {
        if let Some(reached) = self.partitions.get_mut(&partition) {
            reached.has_more = Some(records > 0);
        }
    }

    /// Returns the partitions to pause now, or `None` if they are the same as at the last call. `busy` is true while
    /// bundles are under way.
    pub fn decide(&mut self, used: u64, busy: bool, now: Timestamp) -> Option<&[PartitionId]> {
        self.is_spent = used > if self.is_spent { self.low } else { self.high };
        self.update_drift(now);
        let all = self.is_spent && used >= self.limit && busy;
        self.is_full = all;
        let behind = if self.is_spent { self.furthest_behind() } else { BTreeSet::new() };
        let is_paused = |id: &PartitionId, reached: &Reached| {
            all || reached.is_ahead || self.is_spent && !behind.contains(id)
        };
        let paused: Vec<PartitionId> = self
            .partitions
            .iter()
            .filter(|(id, reached)| is_paused(id, reached))
            .map(|(id, _)| *id)
            .collect();
        if paused == self.paused {
            return None;
        }
        self.paused = paused;
        Some(&self.paused)
    }

    /// True if [`Self::decide`] is to be called again even without new samples: memory may become free, and a
    /// partition that others wait for may become idle.
    pub fn is_closed(&self) -> bool {
        self.is_spent || !self.paused.is_empty()
    }

    /// True if all partitions are paused until a bundle under way ends.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// The paused partitions.
    pub fn paused(&self) -> &[PartitionId] {
        &self.paused
    }

    /// The number of partitions that are paused because they are too far ahead.
    pub fn ahead(&self) -> usize {
        self.partitions.values().filter(|reached| reached.is_ahead).count()
    }

    fn update_drift(&mut self, now: Timestamp) {
        let Some(most) = self.drift.most else { return };
        for partition in &self.paused {
            if let Some(reached) = self.partitions.get_mut(partition) {
                reached.active = reached.active.max(now);
            }
        }
        let mut behind: BTreeMap<i32, Option<Timestamp>> = BTreeMap::new();
        for (id, reached) in &self.partitions {
            if is_waited_for(reached, self.drift.idle.get(id.input.index()), now) {
                let least = behind.entry(id.partition).or_insert(reached.latest);
                *least = (*least).min(reached.latest);
            }
        }
        for (id, reached) in &mut self.partitions {
            let least = behind.get(&id.partition).copied();
            let bound = if reached.is_ahead { most / 2 } else { most };
            reached.is_ahead = match (reached.latest, least) {
                // The partition that others wait for has brought no sample yet: its event time is unknown.
                (Some(_), Some(None)) => true,
                (Some(latest), Some(Some(least))) => latest.since(least) > bound,
                (None, _) | (_, None) => false,
            };
        }
    }

    /// Returns, for each partition number, the input that is furthest behind. An input without a sample is behind all
    /// others.
    fn furthest_behind(&self) -> BTreeSet<PartitionId> {
        let mut least: BTreeMap<i32, (Option<Timestamp>, InputId)> = BTreeMap::new();
        for (id, reached) in &self.partitions {
            let here = (reached.latest, id.input);
            let least = least.entry(id.partition).or_insert(here);
            *least = (*least).min(here);
        }
        least.into_iter().map(|(partition, (_, input))| PartitionId { input, partition }).collect()
    }
}

/// True if others wait for a partition: it is not idle, and it has or may have more to read. If it has brought no
/// sample yet, they wait only when it certainly has more, so that no start waits for a silent input.
fn is_waited_for(reached: &Reached, idle: Option<&Duration>, now: Timestamp) -> bool {
    let is_idle = idle.is_none_or(|idle| now.since(reached.active) >= *idle);
    match reached.has_more {
        Some(has_more) => has_more && !is_idle,
        None => reached.latest.is_some() && !is_idle,
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
