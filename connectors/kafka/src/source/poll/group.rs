//! Group membership of the poll thread: assignments, revocations, leaving.
//!
//! librdkafka waits, for as long as the group permits, until an assignment answers a rebalance. So its callback does no work. The
//! loop goes on polling while it looks up offsets, or while the pipeline finishes and commits the records of revoked partitions.
//!
//! In the classic protocol every rebalance revokes and assigns all partitions. In the one of KIP-848 it revokes and assigns only
//! the partitions that move, and the thread goes on reading the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lockstep_engine::ingest::source::{Acknowledge, Assigned, SourceEvent};
use lockstep_engine::position::PartitionId;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::assignment::{AssignmentLookup, AssignmentStart};
use super::commits::CommitFailure;
use super::offset_query::OffsetQuery;
use super::step::RebalanceStep;
use super::timing::RETRY;
use super::{AssignedPartition, Poller};
use crate::source::context::{Rebalance, TopicPartition};
use crate::source::requests::Close;
use crate::{diagnosis, fault_point};

/// The time that a revocation waits for a pipeline that hangs. The pipeline itself releases partitions by a deadline of its own
/// (`delivery.revoke_within`, a minute at most).
const REVOKE_WITHIN: Duration = Duration::from_secs(90);

/// The interval at which the thread reads the member's epoch.
const EPOCH_EVERY: Duration = Duration::from_millis(50);

impl Poller {
    pub(super) fn serve_rebalance(&mut self) {
        if let RebalanceStep::Settled = self.step {
            let next = self.notices.lock().rebalances.pop_front();
            match next {
                None => return,
                Some(Rebalance::Assign(list)) => self.step = RebalanceStep::Assigning(list, Instant::now()),
                Some(Rebalance::Revoke(list, lost)) => self.begin_revoke(list, lost),
            }
        }
        match std::mem::replace(&mut self.step, RebalanceStep::Settled) {
            RebalanceStep::Assigning(list, not_before) => {
                self.step = if Instant::now() < not_before {
                    RebalanceStep::Assigning(list, not_before)
                } else {
                    self.look_up(list)
                };
            }
            RebalanceStep::LookingUp(list, query) => {
                let Some(answer) = query.answer() else {
                    self.step = RebalanceStep::LookingUp(list, query);
                    return;
                };
                let assigned = answer.and_then(|found| {
                    self.held.extend(found.states.map(SourceEvent::StreamStates));
                    self.assign(found.partitions)
                        .map_err(|error| diagnosis::of_error("assigning partitions", &error))
                });
                match assigned {
                    Ok(()) => self.conditions.begins(),
                    Err(error) => {
                        self.conditions.cannot_begin(error);
                        self.step = RebalanceStep::Assigning(list, Instant::now() + RETRY);
                    }
                }
            }
            RebalanceStep::Revoking(list, done, until) => {
                let finished = done.load(Ordering::Acquire);
                if finished {
                    let last = std::mem::take(&mut self.requests.lock().commit);
                    self.commits.add(last);
                    self.commit();
                }
                if finished && (self.commits.is_done() || Instant::now() >= until) {
                    self.release(&list);
                } else if Instant::now() >= until {
                    // The pipeline would commit its records of these partitions under the next membership.
                    self.membership.end();
                    self.stopped = true;
                    self.held.push_back(SourceEvent::Failed(
                        "the pipeline did not release revoked partitions in time: it has stalled".into(),
                    ));
                    self.release(&list);
                } else {
                    self.step = RebalanceStep::Revoking(list, done, until);
                }
            }
            other => self.step = other,
        }
    }

    /// Starts the lookup for an assignment of these partitions.
    fn look_up(&self, list: Vec<TopicPartition>) -> RebalanceStep {
        let lookup = AssignmentLookup {
            consumer: self.consumer.clone(),
            inputs: self.inputs.clone(),
            start: self.start,
            changelog: self.changelog.clone(),
        };
        let queried = list.clone();
        let query = OffsetQuery::start("kafka-assign", &self.wake, move || lookup.run(&queried));
        RebalanceStep::LookingUp(list, query)
    }

    fn assign(&mut self, partitions: Vec<AssignmentStart>) -> Result<(), KafkaError> {
        let mut assignment = TopicPartitionList::with_capacity(partitions.len());
        let mut split = Vec::with_capacity(partitions.len());
        for t in &partitions {
            assignment.add_partition_offset(&t.topic, t.id.partition, Offset::Offset(t.from.0))?;
            // Before the assignment: after it, records may already be on their way to the group's queue.
            let queue = AssignedPartition::split(&self.consumer, t.id, t.topic.clone(), t.from, &self.wake);
            let Some(mut partition) = queue else {
                return Err(KafkaError::Subscription(format!("no queue for {} {}", t.topic, t.id.partition)));
            };
            partition.paused = self.paused.contains(&t.id);
            split.push(partition);
        }
        if self.is_incremental {
            self.consumer.incremental_assign(&assignment)?;
        } else {
            self.consumer.assign(&assignment)?;
            self.owned.clear();
            self.partitions.clear();
        }
        self.owned.extend(partitions.iter().map(|t| t.id));
        // The subscription to these topics has succeeded. Reading shows whether they can be read.
        partitions.iter().for_each(|t| self.conditions.reads(&t.topic));
        self.partitions.extend(split);
        self.first = 0;
        self.membership.joined(self.consumer.group_metadata());
        let assigned =
            |t: &AssignmentStart| Assigned { partition: t.id, start: t.from, committed: t.committed.clone() };
        self.held.push_back(SourceEvent::Assigned(partitions.iter().map(assigned).collect()));
        for t in partitions {
            if let Some(wanted) = t.committed.map(|commit| commit.next).filter(|wanted| *wanted < t.from) {
                self.held.push_back(SourceEvent::DataLoss { partition: t.id, from: wanted, to: t.from });
            }
        }
        Ok(())
    }

    fn begin_revoke(&mut self, list: Vec<TopicPartition>, lost: bool) {
        fault_point::pass("in-rebalance");
        let ids = self.ids(&list);
        // Records that the pipeline has not taken belong to the next member: this one does not commit them.
        self.held.retain(
            |event| !matches!(event, SourceEvent::Records { partition, .. } if ids.contains(partition)),
        );
        self.partitions.retain(|partition| !ids.contains(&partition.id));
        self.errors.retain(|id, _| !ids.contains(id));
        if lost {
            // Their new owner commits them.
            self.owned.retain(|id| !ids.contains(id));
        }
        let done = Arc::new(AtomicBool::new(false));
        let (released, wake) = (done.clone(), self.wake.clone());
        let acknowledge = Acknowledge::new(move || {
            released.store(true, Ordering::Release);
            wake.wake();
        });
        self.held.push_back(SourceEvent::Revoked { partitions: ids, lost, done: acknowledge });
        self.step = RebalanceStep::Revoking(list, done, Instant::now() + REVOKE_WITHIN);
    }

    fn ids(&self, list: &[TopicPartition]) -> Vec<PartitionId> {
        let id = |(topic, partition): &TopicPartition| {
            Some(PartitionId { input: *self.inputs.get(topic)?, partition: *partition })
        };
        list.iter().filter_map(id).collect()
    }

    /// Answers a revocation.
    fn release(&mut self, list: &[TopicPartition]) {
        let ids = self.ids(list);
        self.owned.retain(|id| !ids.contains(id));
        self.commits.forget(&ids);
        let answered = if self.is_incremental {
            let mut gone = TopicPartitionList::with_capacity(list.len());
            for (topic, partition) in list {
                gone.add_partition(topic, *partition);
            }
            self.consumer.incremental_unassign(&gone)
        } else {
            self.consumer.unassign()
        };
        if self.owned.is_empty() {
            self.membership.left();
        }
        if let Err(error) = answered {
            tracing::warn!(%error, "cannot release revoked partitions");
        }
        self.step = RebalanceStep::Settled;
    }

    /// Updates the membership for commits. In the protocol of KIP-848 the member's epoch also moves on without a change of partitions.
    /// The update waits for a rebalance: librdkafka reports a lost partition before it knows the epoch that follows.
    pub(super) fn follow_epoch(&mut self) {
        let is_time = self.is_incremental && !self.owned.is_empty() && Instant::now() >= self.next_epoch;
        if is_time && matches!(self.step, RebalanceStep::Settled) && self.notices.lock().rebalances.is_empty()
        {
            self.next_epoch = Instant::now() + EPOCH_EVERY;
            self.membership.joined(self.consumer.group_metadata());
        }
    }

    /// Waits for the last commit, leaves the group, and answers.
    pub(super) fn close(mut self, close: &Close) {
        let left = || close.until.saturating_duration_since(Instant::now());
        let mut outcome = Ok(());
        let mut last = None;
        loop {
            match self.commit() {
                Some((CommitFailure::NotOurs | CommitFailure::Lasting, error)) => {
                    outcome = Err(format!("the last commit failed: {error}"));
                }
                Some((CommitFailure::Passing, error)) => last = Some(error),
                None => {}
            }
            if self.commits.is_done() {
                break;
            }
            if left().is_zero() {
                outcome = Err(match last {
                    Some(error) => format!("the last commit failed until the deadline: {error}"),
                    None => "the brokers did not answer the last commit in time".into(),
                });
                break;
            }
            self.poll_group(Duration::ZERO);
            self.wake.wait(left().min(Duration::from_millis(20)));
        }
        self.partitions.clear();
        self.held.clear();
        let leaving = self.consumer.close_queue();
        if leaving.is_ok() {
            while !self.consumer.closed() && !left().is_zero() {
                self.poll_group(left().min(Duration::from_millis(20)));
                let revoked = !self.notices.lock().rebalances.is_empty();
                if revoked {
                    self.notices.lock().rebalances.clear();
                    let _unassigned = self.consumer.unassign();
                }
            }
            if !self.consumer.closed() && outcome.is_ok() {
                tracing::warn!("cannot leave the group in time; its session will time out");
            }
        }
        let _abandoned = close.done.try_send(outcome);
    }
}
