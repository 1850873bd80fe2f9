//! Faults of the producers and the group while the inputs are read: partitioners that differ, partitions that are added or go
//! to another pipeline, transactions that stay open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::copartition::Copartition;
use lockstep_engine::ingest::open_transaction::{OpenTransaction, OpenTransactions};
use lockstep_engine::ingest::source::PartitionEnd;
use lockstep_engine::position::PartitionId;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::telemetry::upstream as metrics;
use lockstep_engine::time::Timestamp;

use super::listed::listed;
use crate::failure::PipelineFailure;
use crate::input_name::input_name;
use crate::status::Status;

/// The period after which a lasting fault is logged again.
const LOG_AGAIN: Duration = Duration::from_secs(60);
/// The time for which partitions of one input may be here without those of another: while a group changes, they may come one
/// after another.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);
/// The subjects of these faults in the health document.
const PARTITIONERS: &str = "partitioners";
const OPEN_TRANSACTIONS: &str = "open_transactions";

/// Watches the inputs for faults of others.
pub(super) struct Upstream {
    inputs: Arc<[InputSpec]>,
    status: Arc<Status>,
    copartition: Copartition,
    open: OpenTransactions,
    /// The number of partitions of each input; empty until it is known.
    counts: Vec<i32>,
    /// The assigned partitions with a reported lag, and those with a reported open transaction.
    lagging: BTreeSet<PartitionId>,
    held_back: BTreeSet<PartitionId>,
    /// The time since when partitions of one input are here without those of another.
    apart_since: Option<Timestamp>,
    logged: BTreeMap<String, Timestamp>,
}

impl Upstream {
    pub(super) fn new(inputs: Arc<[InputSpec]>, status: Arc<Status>) -> Self {
        Self {
            copartition: Copartition::new(inputs.len()),
            inputs,
            status,
            open: OpenTransactions::default(),
            counts: Vec::new(),
            lagging: BTreeSet::new(),
            held_back: BTreeSet::new(),
            apart_since: None,
            logged: BTreeMap::new(),
        }
    }

    /// Observes a record of a stream.
    pub(super) fn observe(&mut self, partition: PartitionId, stream: &StreamKey, now: Timestamp) {
        self.copartition.observe(partition, stream, now);
    }

    /// Removes a revoked partition.
    pub(super) fn revoke(&mut self, partition: PartitionId) {
        self.open.revoke(partition);
        let input = input_name(&self.inputs, partition.input);
        if self.lagging.remove(&partition) {
            metrics::lag(input, partition, None);
        }
        if self.held_back.remove(&partition) {
            metrics::held_back(input, partition, None);
        }
    }

    /// Observes the end of an assigned partition.
    pub(super) fn end(&mut self, partition: PartitionId, end: &PartitionEnd, now: Timestamp) {
        self.open.observe(partition, end, now);
        self.lagging.insert(partition);
        metrics::lag(input_name(&self.inputs, partition.input), partition, Some(end.lag));
    }

    /// Sets the present number of partitions of each input.
    ///
    /// # Errors
    /// The numbers differ between inputs, so that the pipeline cannot go on.
    pub(super) fn partitions(&mut self, counts: Vec<i32>) -> Result<(), PipelineFailure> {
        self.copartition.set_partitions(&counts);
        let each = || {
            let each = self.inputs.iter().zip(&counts);
            each.map(|(input, count)| format!("{} has {count}", input.topic)).collect::<Vec<_>>().join(", ")
        };
        if let Some(most) = counts.iter().max().filter(|most| counts.iter().any(|count| count != *most)) {
            return Err(PipelineFailure::Final(format!(
                "the topics of the inputs have different numbers of partitions now ({}), so that what is of one stream \
                 would not meet: partitions were added to one of them; give all of them {most} (kafka-topics.sh --alter \
                 --partitions {most}) and start again",
                each()
            )));
        }
        if !self.counts.is_empty() && self.counts != counts {
            tracing::warn!(
                partitions = each(),
                remedy = "drain the topics before partitions are added, if the order of records counts",
                "partitions added to the inputs, most streams move to another partition"
            );
        }
        self.counts = counts;
        Ok(())
    }

    /// Checks the inputs, about once a second.
    ///
    /// # Errors
    /// The assignment lacks partitions of an input, so that the pipeline cannot go on.
    pub(super) fn check(
        &mut self,
        ours: impl Iterator<Item = PartitionId>,
        now: Timestamp,
    ) -> Result<(), PipelineFailure> {
        self.check_partitioners(now);
        self.check_transactions(now);
        self.check_assignment(ours, now)
    }

    fn check_partitioners(&mut self, now: Timestamp) {
        let conflict = self.copartition.conflict(now);
        for (input, fit) in self.copartition.fits(now) {
            let is_conflict =
                conflict.as_ref().is_some_and(|conflict| conflict.inputs.iter().any(|it| it.0 == input));
            metrics::copartition(input_name(&self.inputs, input), fit, is_conflict);
        }
        let found = conflict.as_ref().map(|it| it.describe(|input| input_name(&self.inputs, input)));
        self.status.set_upstream(PARTITIONERS, found.clone());
        let was_logged = self.logged.keys().any(|what| what.starts_with(PARTITIONERS));
        if let Some(conflict) = &conflict {
            // A few streams may not show the partitioner. The fault is logged again once it is known.
            let rules = conflict.inputs.map(|(_, _, rule)| rule);
            if self.is_log_due(&format!("{PARTITIONERS} {rules:?}"), now) {
                tracing::warn!(found, "the producers of two inputs choose partitions differently");
            }
        } else if was_logged {
            self.logged.retain(|what, _| !what.starts_with(PARTITIONERS));
            tracing::info!("the producers of all inputs choose partitions alike again");
        }
    }

    fn check_transactions(&mut self, now: Timestamp) {
        let held: Vec<(PartitionId, OpenTransaction)> = self.open.held(now).collect();
        for gone in std::mem::take(&mut self.held_back) {
            if !held.iter().any(|(partition, _)| *partition == gone) {
                let input = input_name(&self.inputs, gone.input);
                metrics::held_back(input, gone, None);
                self.logged.remove(&open_in(gone));
                tracing::info!(input, partition = gone.partition, "the transaction upstream has ended");
            }
        }
        let mut all = Vec::new();
        for (partition, held) in held {
            self.held_back.insert(partition);
            let input = input_name(&self.inputs, partition.input);
            metrics::held_back(input, partition, Some(held.offsets));
            if self.is_log_due(&open_in(partition), now) {
                let OpenTransaction { at, offsets, since } = held;
                tracing::warn!(
                    input = input_name(&self.inputs, partition.input),
                    partition = partition.partition,
                    offset = at.0,
                    held_back = offsets,
                    %since,
                    remedy = "wait for its transaction.timeout.ms, or end it by kafka-transactions.sh abort",
                    "open transaction of a producer holds reading back"
                );
            }
            all.push(format!(
                "partition {} of input {} can be read up to offset {} only, where a producer's transaction has been open since \
                 {} at least",
                partition.partition,
                input_name(&self.inputs, partition.input),
                held.at.0,
                held.since
            ));
        }
        self.status.set_upstream(OPEN_TRANSACTIONS, (!all.is_empty()).then(|| all.join("; ")));
    }

    fn check_assignment(
        &mut self,
        ours: impl Iterator<Item = PartitionId>,
        now: Timestamp,
    ) -> Result<(), PipelineFailure> {
        let mut numbers = vec![BTreeSet::new(); self.inputs.len()];
        let ours: Vec<PartitionId> = ours.collect();
        for partition in &ours {
            if let Some(numbers) = numbers.get_mut(partition.input.index()) {
                numbers.insert(partition.partition);
            }
        }
        if numbers.windows(2).all(|pair| matches!(pair, [one, two] if one == two)) {
            self.apart_since = None;
            return Ok(());
        }
        if now.since(*self.apart_since.get_or_insert(now)) < SETTLED_WITHIN {
            return Ok(());
        }
        // The group takes away all partitions of a deleted topic.
        let gone = numbers.iter().zip(&*self.inputs).find(|(numbers, _)| numbers.is_empty());
        let (deleted, made) = gone.map_or_else(Default::default, |(_, input)| {
            let topic = &input.topic;
            (
                format!("the topic {topic} was deleted, or "),
                format!("make {topic} again (lockstep topics create CONFIG), or "),
            )
        });
        Err(PipelineFailure::Final(format!(
            "the group gave this process partitions of some inputs without those of the others ({}), so that what is of one \
             stream would not meet: {deleted}another pipeline, or another version of this one, is in the same group and reads \
             other topics; {made}give each pipeline a group of its own (kafka.group)",
            listed(&self.inputs, ours)
        )))
    }

    /// Returns true while partitions of one input are here without those of another. Shards must not treat that as silence.
    pub(super) fn is_apart(&self) -> bool {
        self.apart_since.is_some()
    }

    fn is_log_due(&mut self, what: &str, now: Timestamp) -> bool {
        let is_due = self.logged.get(what).is_none_or(|logged| now.since(*logged) >= LOG_AGAIN);
        if is_due {
            self.logged.insert(what.to_owned(), now);
        }
        is_due
    }
}

impl Drop for Upstream {
    /// Clears the metrics and faults; the next pipeline reports its own partitions.
    fn drop(&mut self) {
        let all: Vec<PartitionId> = self.lagging.union(&self.held_back).copied().collect();
        all.into_iter().for_each(|partition| self.revoke(partition));
        for what in [PARTITIONERS, OPEN_TRANSACTIONS] {
            self.status.set_upstream(what, None);
        }
    }
}

fn open_in(partition: PartitionId) -> String {
    format!("{OPEN_TRANSACTIONS} {} {}", partition.input.0, partition.partition)
}

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
