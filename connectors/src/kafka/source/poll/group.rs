//! The poll thread's part in its group: taking partitions over, letting them go, leaving.
//!
//! librdkafka waits, for as long as the group lets it, until a rebalance is answered by an assignment. So
//! nothing is done in its callback: the loop goes on polling while the positions are looked up, or while
//! the pipeline finishes and commits what it has of partitions that are being revoked.
//!
//! In the classic protocol every rebalance takes all partitions and gives all. In the one of KIP-848 only those that move
//! are taken and given, and the others are read on meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lockstep_engine::ingest::source::{Acknowledge, Assigned, SourceEvent};
use lockstep_engine::position::PartitionId;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::assignment::{AssignmentStart, Found, Looker};
use super::commits::Failure;
use super::offset_query::OffsetQuery;
use super::{Partition, Poller, RETRY};
use crate::kafka::source::Close;
use crate::kafka::source::context::{Rebalance, TopicPartition};
use crate::kafka::{diagnosis, fault_point};

/// How long a revocation waits for the pipeline, which lets partitions go by a deadline of its own
/// (`delivery.revoke_within`, a minute at most): this one is for a pipeline that hangs.
const REVOKE_WITHIN: Duration = Duration::from_secs(90);

/// How often the member's epoch is looked at.
const EPOCH_EVERY: Duration = Duration::from_millis(50);

/// What the group is waiting for.
pub(super) enum Step {
    Settled,
    /// For partitions to be taken over: not before the given time.
    Assigning(Vec<TopicPartition>, Instant),
    /// For what has to be known of them before.
    LookingUp(Vec<TopicPartition>, OffsetQuery<Found>),
    /// For the pipeline to let partitions go: no longer than until the given time.
    Revoking(Vec<TopicPartition>, Arc<AtomicBool>, Instant),
}

impl Poller {
    pub(super) fn serve_rebalance(&mut self) {
        if let Step::Settled = self.step {
            let next = self.notices.lock().rebalances.pop_front();
            match next {
                None => return,
                Some(Rebalance::Assign(list)) => self.step = Step::Assigning(list, Instant::now()),
                Some(Rebalance::Revoke(list, lost)) => self.begin_revoke(list, lost),
            }
        }
        match std::mem::replace(&mut self.step, Step::Settled) {
            Step::Assigning(list, not_before) => {
                self.step = if Instant::now() < not_before {
                    Step::Assigning(list, not_before)
                } else {
                    self.look_up(list)
                };
            }
            Step::LookingUp(list, lookup) => {
                let Some(answer) = lookup.answer() else {
                    self.step = Step::LookingUp(list, lookup);
                    return;
                };
                let taken_over = answer.and_then(|found| {
                    self.held.extend(found.states.map(SourceEvent::Carried));
                    self.take_over(found.takeovers)
                        .map_err(|error| diagnosis::of_error("taking partitions over", &error))
                });
                match taken_over {
                    Ok(()) => self.standing.begins(),
                    Err(error) => {
                        self.standing.cannot_begin(error);
                        self.step = Step::Assigning(list, Instant::now() + RETRY);
                    }
                }
            }
            Step::Revoking(list, done, until) => {
                let finished = done.load(Ordering::Acquire);
                if finished {
                    let last = std::mem::take(&mut self.mailbox.lock().commit);
                    self.commits.add(last);
                    self.commit();
                }
                if finished && (self.commits.is_done() || Instant::now() >= until) {
                    self.let_go(&list);
                } else if Instant::now() >= until {
                    // What it still holds would be committed in the name of what is held next.
                    self.membership.end();
                    self.stopped = true;
                    self.held.push_back(SourceEvent::Failed(
                        "revoked partitions were not let go in time, as if the pipeline stood still".into(),
                    ));
                    self.let_go(&list);
                } else {
                    self.step = Step::Revoking(list, done, until);
                }
            }
            other => self.step = other,
        }
    }

    /// Begins to ask for what has to be known of these partitions.
    fn look_up(&self, list: Vec<TopicPartition>) -> Step {
        let looker = Looker {
            consumer: self.consumer.clone(),
            inputs: self.inputs.clone(),
            start: self.start,
            changelog: self.changelog.clone(),
        };
        let asked = list.clone();
        let lookup = OffsetQuery::start("kafka-takeover", &self.wake, move || looker.look_up(&asked));
        Step::LookingUp(list, lookup)
    }

    fn take_over(&mut self, takeovers: Vec<AssignmentStart>) -> Result<(), KafkaError> {
        let mut assignment = TopicPartitionList::with_capacity(takeovers.len());
        let mut partitions = Vec::with_capacity(takeovers.len());
        for t in &takeovers {
            assignment.add_partition_offset(&t.topic, t.id.partition, Offset::Offset(t.from.0))?;
            // Before the assignment: afterwards records may already be on their way to the group's queue.
            let split = Partition::split(&self.consumer, t.id, t.topic.clone(), t.from, &self.wake);
            let Some(mut partition) = split else {
                return Err(KafkaError::Subscription(format!("no queue for {} {}", t.topic, t.id.partition)));
            };
            partition.paused = self.paused.contains(&t.id);
            partitions.push(partition);
        }
        if self.is_incremental {
            self.consumer.incremental_assign(&assignment)?;
        } else {
            self.consumer.assign(&assignment)?;
            self.owned.clear();
            self.partitions.clear();
        }
        self.owned.extend(takeovers.iter().map(|t| t.id));
        // What could not be subscribed to can be now; whether it can be read is told by reading.
        takeovers.iter().for_each(|t| self.standing.reads(&t.topic));
        self.partitions.extend(partitions);
        self.first = 0;
        self.membership.joined(self.consumer.group_metadata());
        let assigned =
            |t: &AssignmentStart| Assigned { partition: t.id, start: t.from, committed: t.committed.clone() };
        self.held.push_back(SourceEvent::Assigned(takeovers.iter().map(assigned).collect()));
        for t in takeovers {
            if let Some(wanted) = t.committed.map(|commit| commit.next).filter(|wanted| *wanted < t.from) {
                self.held.push_back(SourceEvent::DataLoss { partition: t.id, from: wanted, to: t.from });
            }
        }
        Ok(())
    }

    fn begin_revoke(&mut self, list: Vec<TopicPartition>, lost: bool) {
        fault_point::pass("in-rebalance");
        let ids = self.ids(&list);
        // Records that had no room are the next member's: they are not committed.
        self.held.retain(
            |event| !matches!(event, SourceEvent::Records { partition, .. } if ids.contains(partition)),
        );
        self.partitions.retain(|partition| !ids.contains(&partition.id));
        self.errors.retain(|id, _| !ids.contains(id));
        if lost {
            // Whoever has them now commits them.
            self.owned.retain(|id| !ids.contains(id));
        }
        let done = Arc::new(AtomicBool::new(false));
        let (told, wake) = (done.clone(), self.wake.clone());
        let acknowledge = Acknowledge::new(move || {
            told.store(true, Ordering::Release);
            wake.wake();
        });
        self.held.push_back(SourceEvent::Revoked { partitions: ids, lost, done: acknowledge });
        self.step = Step::Revoking(list, done, Instant::now() + REVOKE_WITHIN);
    }

    fn ids(&self, list: &[TopicPartition]) -> Vec<PartitionId> {
        let id = |(topic, partition): &TopicPartition| {
            Some(PartitionId { input: *self.inputs.get(topic)?, partition: *partition })
        };
        list.iter().filter_map(id).collect()
    }

    /// Answers a revocation.
    fn let_go(&mut self, list: &[TopicPartition]) {
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
            tracing::warn!(%error, "partitions were not let go as they should");
        }
        self.step = Step::Settled;
    }

    /// In the protocol of KIP-848 the member's epoch moves on without anything being taken or given. As whom positions are
    /// committed follows it while nothing is: what has been lost is told before the epoch that follows is known.
    pub(super) fn follow_epoch(&mut self) {
        let is_time = self.is_incremental && !self.owned.is_empty() && Instant::now() >= self.next_epoch;
        if is_time && matches!(self.step, Step::Settled) && self.notices.lock().rebalances.is_empty() {
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
                Some((Failure::NotOurs | Failure::Lasting, error)) => {
                    outcome = Err(format!("the last commit did not succeed: {error}"));
                }
                Some((Failure::Passing, error)) => last = Some(error),
                None => {}
            }
            if self.commits.is_done() {
                break;
            }
            if left().is_zero() {
                outcome = Err(match last {
                    Some(error) => format!("the last commit did not succeed in time: {error}"),
                    None => "the last commit was not answered in time".into(),
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
                tracing::warn!("the group was not left in time; its session will time out");
            }
        }
        let _nobody_waits = close.done.try_send(outcome);
    }
}
