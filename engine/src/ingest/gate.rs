//! Who pauses: when the byte budget is spent, and when one input runs too far ahead of another.
//!
//! Alignment waits for the input that is furthest behind in event time. So when the budget is spent the inputs ahead are
//! paused first: pausing the one behind while the buffers hold the memory would wait for ever. It is paused only when the
//! budget is spent to the last byte and bundles are under way whose end frees some.
//!
//! A bound on the drift between inputs ([`Drift`]) pauses those ahead before the budget is spent, so that hours of one
//! topic are not read while the other is still at its first minute; Flink calls that watermark alignment (FLIP-182).
//!
//! Inputs are compared by partition number: topics of a pipeline are co-partitioned, so that it is partitions of the same
//! number that wait for one another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::position::{InputId, PartitionId};
use crate::time::Timestamp;

/// How far inputs may be apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// A partition whose latest event time is further ahead than this of that of another input's partition of the same
    /// number is paused, until it is no more than half as far ahead. None to pause none.
    pub most: Option<Duration>,
    /// By input: a partition that is read and has brought nothing for so long is not waited for; nor is one of
    /// which the source says that nothing is left to read.
    pub idle: Vec<Duration>,
}

/// Decides which partitions are paused.
#[derive(Debug)]
pub struct Gate {
    /// Pausing begins above `high` bytes and ends below `low`.
    high: u64,
    low: u64,
    limit: u64,
    drift: Drift,
    partitions: BTreeMap<PartitionId, Reached>,
    spent: bool,
    is_full: bool,
    paused: Vec<PartitionId>,
}

/// How far a partition has come.
#[derive(Clone, Copy, Debug)]
struct Reached {
    /// The latest event time seen; none before its first sample.
    latest: Option<Timestamp>,
    /// When it last brought something, was assigned or was paused, by the clock of ingest.
    heard: Timestamp,
    /// Whether there is more to read, as far as is known.
    has_more: Option<bool>,
    /// Whether it is too far ahead of another.
    is_ahead: bool,
}

impl Gate {
    /// A gate for a budget of so many bytes. It closes at four fifths, as what has been polled already
    /// still comes, and opens again at three fifths.
    pub fn new(limit: u64, drift: Drift) -> Self {
        Self {
            high: limit / 5 * 4,
            low: limit / 5 * 3,
            limit,
            drift,
            partitions: BTreeMap::new(),
            spent: false,
            is_full: false,
            paused: Vec::new(),
        }
    }

    /// A partition is ours.
    pub fn assign(&mut self, partition: PartitionId, now: Timestamp) {
        let reached = Reached { latest: None, heard: now, has_more: None, is_ahead: false };
        self.partitions.insert(partition, reached);
    }

    /// A partition is no longer ours.
    pub fn revoke(&mut self, partition: PartitionId) {
        self.partitions.remove(&partition);
    }

    /// A sample of this event time came through a partition.
    pub fn seen(&mut self, partition: PartitionId, event_time: Timestamp, now: Timestamp) {
        if let Some(reached) = self.partitions.get_mut(&partition) {
            reached.latest = reached.latest.max(Some(event_time));
            reached.heard = reached.heard.max(now);
            // That nothing was left is over; that something was may be still.
            reached.has_more = reached.has_more.filter(|has_more| *has_more);
        }
    }

    /// So many records of a partition are still to be read.
    pub fn lag(&mut self, partition: PartitionId, records: i64) {
        if let Some(reached) = self.partitions.get_mut(&partition) {
            reached.has_more = Some(records > 0);
        }
    }

    /// The partitions to pause now, or `None` when that has not changed since last asked. `busy` says
    /// whether bundles are under way.
    pub fn decide(&mut self, used: u64, busy: bool, now: Timestamp) -> Option<&[PartitionId]> {
        self.spent = used > if self.spent { self.low } else { self.high };
        self.look_at_drift(now);
        let all = self.spent && used >= self.limit && busy;
        self.is_full = all;
        let behind = if self.spent { self.furthest_behind() } else { BTreeSet::new() };
        let is_paused = |id: &PartitionId, reached: &Reached| {
            all || reached.is_ahead || self.spent && !behind.contains(id)
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

    /// Whether it is to be asked again though nothing comes: memory becomes free, and who was waited for is idle.
    pub fn is_closed(&self) -> bool {
        self.spent || !self.paused.is_empty()
    }

    /// Whether all partitions are paused, until something that is under way ends.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// The partitions that are paused.
    pub fn paused(&self) -> &[PartitionId] {
        &self.paused
    }

    /// How many are paused for being too far ahead.
    pub fn ahead(&self) -> usize {
        self.partitions.values().filter(|reached| reached.is_ahead).count()
    }

    fn look_at_drift(&mut self, now: Timestamp) {
        let Some(most) = self.drift.most else { return };
        for partition in &self.paused {
            if let Some(reached) = self.partitions.get_mut(partition) {
                reached.heard = reached.heard.max(now);
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
                // Of the one that is waited for nothing is known yet, but that it is there.
                (Some(_), Some(None)) => true,
                (Some(latest), Some(Some(least))) => latest.since(least) > bound,
                (None, _) | (_, None) => false,
            };
        }
    }

    /// Of each partition number the input that is furthest behind; one that has yet to be heard is.
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

/// Whether others wait for a partition: there is more to read, it has brought something of late, or both may be. One that was
/// never heard is waited for only when there is more for certain, so that no start waits for a silent input.
fn is_waited_for(reached: &Reached, idle: Option<&Duration>, now: Timestamp) -> bool {
    let is_idle = idle.is_none_or(|idle| now.since(reached.heard) >= *idle);
    match reached.has_more {
        Some(has_more) => has_more && !is_idle,
        None => reached.latest.is_some() && !is_idle,
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
