//! The poll thread. Its loop serves requests and the group, hands records over, and waits.

mod assignment;
mod commits;
mod conditions;
mod ends;
mod group;
mod offset_query;
mod offset_reset;
mod presence;
mod recovery;
mod report_conditions;
mod send_commits;
mod step;
mod timing;
mod watch_presence;
mod watch_recovery;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_engine::condition::Conditions;
use lockstep_engine::ingest::source::{SourceEvent, SourceSink};
use lockstep_engine::pipeline::StartAt;
use lockstep_engine::position::{InputId, PartitionId};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};

use self::commits::Commits;
use self::conditions::SourceConditions;
use self::offset_query::{AvailableOffsets, OffsetQuery};
use self::presence::Presence;
use self::recovery::Recovery;
use self::step::RebalanceStep;
use self::timing::{IDLE, OFFER_AGAIN, REJOIN};
use super::committer::Committer;
use super::context::{Notices, SourceContext, Wake};
use super::join::{GroupJoin, Member};
use super::partition::{AssignedPartition, ReadOutcome};
use super::requests::{Close, Requests};
use crate::changelog::Changelog;
use crate::config;
use crate::inquiry::Inquiry;
use crate::membership::Membership;

pub(super) struct Poller {
    join: GroupJoin,
    consumer: Arc<BaseConsumer<SourceContext>>,
    committer: Committer,
    /// The group uses the protocol of KIP-848: a rebalance revokes and assigns only partitions that move.
    is_incremental: bool,
    sink: Box<dyn SourceSink>,
    notices: Arc<Mutex<Notices>>,
    requests: Arc<Mutex<Requests>>,
    wake: Arc<Wake>,
    membership: Arc<Membership>,
    inputs: Arc<HashMap<String, InputId>>,
    start: StartAt,
    next_epoch: Instant,
    /// The changelog of the stream state; none if the pipeline keeps none.
    changelog: Option<Changelog>,
    /// The assigned partitions, in the order of reading.
    partitions: Vec<AssignedPartition>,
    /// Errors that followed records of a partition.
    errors: HashMap<PartitionId, KafkaError>,
    /// Partitions that may be committed: assigned, or revoked and not released yet.
    owned: HashSet<PartitionId>,
    paused: HashSet<PartitionId>,
    /// Events that the pipeline has not taken. The thread reads no record while there are any.
    held: VecDeque<SourceEvent>,
    step: RebalanceStep,
    commits: Commits,
    stopped: bool,
    /// The partition at which the next round begins, so that none is always last.
    first: usize,
    conditions: SourceConditions,
    /// The time at which the consumer joins again, after the group refused this member.
    rejoin_at: Option<Instant>,
    /// The time at which the next offset reset is tried.
    look_again: Instant,
    /// The query for the offsets of partitions out of range.
    available: Option<OffsetQuery<AvailableOffsets>>,
    recovery: Recovery,
    presence: Presence,
    /// The query by another client, while this one does not recover.
    another: Option<OffsetQuery<()>>,
    /// The numbers of partitions of the inputs, as reported last.
    counts: Vec<i32>,
}

/// The parts of a [`Poller`].
pub(super) struct PollerParts {
    /// Makes the consumer, and others after a failure.
    pub(super) join: GroupJoin,
    /// The first consumer.
    pub(super) member: Member,
    /// Receives the events.
    pub(super) sink: Box<dyn SourceSink>,
    /// The commands of the pipeline.
    pub(super) requests: Arc<Mutex<Requests>>,
    /// Receives every assignment.
    pub(super) membership: Arc<Membership>,
    /// Receives what keeps the thread from reading and committing.
    pub(super) conditions: Arc<dyn Conditions>,
    /// The input of each topic.
    pub(super) inputs: HashMap<String, InputId>,
    /// The changelog of the stream state, if the pipeline keeps any.
    pub(super) changelog: Option<Changelog>,
}

impl Poller {
    pub(super) fn new(parts: PollerParts) -> Self {
        let PollerParts { join, member, sink, requests, membership, conditions, inputs, changelog } = parts;
        let Member { consumer, committer } = member;
        let (notices, wake, start) = (join.notices.clone(), join.wake.clone(), join.spec.start);
        let inquiry = Inquiry::new(config::connecting(&join.spec.brokers, &join.spec.consumer));
        Self {
            is_incremental: join.tries_incremental(),
            join,
            consumer,
            committer,
            sink,
            notices,
            requests,
            wake,
            membership,
            inputs: Arc::new(inputs),
            start,
            next_epoch: Instant::now(),
            changelog,
            partitions: Vec::new(),
            errors: HashMap::new(),
            owned: HashSet::new(),
            paused: HashSet::new(),
            held: VecDeque::new(),
            step: RebalanceStep::Settled,
            commits: Commits::default(),
            stopped: false,
            first: 0,
            conditions: SourceConditions::new(conditions, inquiry),
            rejoin_at: None,
            look_again: Instant::now(),
            available: None,
            recovery: Recovery::default(),
            presence: Presence::default(),
            another: None,
            counts: Vec::new(),
        }
    }

    pub(super) fn run(mut self) {
        loop {
            if let Some(close) = self.serve_requests() {
                self.close(&close);
                return;
            }
            self.poll_group(Duration::ZERO);
            self.serve_notices();
            self.rejoin();
            self.serve_rebalance();
            self.follow_epoch();
            self.offer_held();
            let read = self.held.is_empty() && !self.stopped && self.read_round();
            if !self.held.is_empty() {
                self.wake.wait(OFFER_AGAIN);
            } else if !read && !self.wake.wait(IDLE) {
                self.partitions.iter().for_each(AssignedPartition::look_again);
            }
        }
    }

    fn serve_requests(&mut self) -> Option<Close> {
        let (paused, commit, close) = {
            let mut requests = self.requests.lock();
            self.stopped |= requests.stopped;
            let changed = std::mem::take(&mut requests.paused_changed);
            let paused = changed.then(|| requests.paused.iter().flatten().copied().collect());
            (paused, std::mem::take(&mut requests.commit), requests.close.take())
        };
        if let Some(paused) = paused {
            self.paused = paused;
            for partition in &mut self.partitions {
                partition.paused = self.paused.contains(&partition.id);
            }
        }
        self.commits.add(commit);
        self.commit();
        close
    }

    /// Serves the group's queue, which keeps the member alive. Records do not come through it.
    fn poll_group(&mut self, timeout: Duration) {
        loop {
            let noted = self.notices.lock().noted;
            let consumer = self.consumer.clone();
            match consumer.poll(timeout) {
                Some(polled) => self.unexpected(polled),
                // Nothing, or an event that left a notice: more events may follow it.
                None if self.notices.lock().noted == noted => return,
                None => {}
            }
            if !timeout.is_zero() {
                return;
            }
        }
    }

    fn unexpected(&mut self, polled: Result<BorrowedMessage<'_>, KafkaError>) {
        match polled {
            Ok(message) => {
                // Impossible, because the queues are split before the assignment. If it happens all the same, no record may be
                // lost: the thread reads the partitions again from their positions.
                tracing::error!(topic = message.topic(), "unexpected record in the queue of the group");
                self.assign_again();
            }
            Err(KafkaError::MessageConsumptionFatal(code)) => {
                let why = self.consumer.client().fatal_error().map_or_else(String::new, |(_, why)| why);
                // UnsupportedAssignor: brokers can be configured without the range assignor.
                let unknown = self.is_incremental
                    && matches!(
                        code,
                        RDKafkaErrorCode::UnsupportedVersion
                            | RDKafkaErrorCode::UnsupportedFeature
                            | RDKafkaErrorCode::UnsupportedAssignor
                    );
                let refused = matches!(
                    code,
                    RDKafkaErrorCode::GroupAuthorizationFailed
                        | RDKafkaErrorCode::TopicAuthorizationFailed
                        | RDKafkaErrorCode::UnreleasedInstanceId
                );
                if unknown {
                    self.lacks_protocol();
                } else if refused && self.owned.is_empty() {
                    self.client_error(Some(code), &why);
                    self.rejoin_at = Some(Instant::now() + REJOIN);
                } else if let Some(fenced) = self.join.fenced(code) {
                    self.held.push_back(SourceEvent::Refused(fenced));
                    self.stopped = true;
                } else {
                    self.fail(format!("the consumer has failed: {code}: {why}"));
                }
            }
            // The context reports it with more details.
            Err(_) => {}
        }
    }

    /// Joins by the classic protocol, because the brokers know no other. No partition is assigned before.
    fn lacks_protocol(&mut self) {
        if !self.join.may_fall_back() {
            return self.fail(
                "the brokers do not know the group protocol of KIP-848 (Apache Kafka has it from 4.0 on) or its range \
                 assignor (group.consumer.assignors): write kafka.group_protocol = \"auto\""
                    .into(),
            );
        }
        match self.join.join(false) {
            Ok(member) => {
                tracing::info!(
                    reason = "the brokers do not know the protocol of KIP-848, or not its range assignor",
                    "using the classic group protocol"
                );
                (self.consumer, self.committer) = (member.consumer, member.committer);
                self.is_incremental = false;
                self.notices.lock().errors.clear();
            }
            Err(error) => self.fail(format!("the consumer has failed: {error}")),
        }
    }

    /// Joins again after the group refused this member, because a right is missing or its name is taken. For librdkafka such a
    /// refusal is final.
    fn rejoin(&mut self) {
        if self.stopped || self.rejoin_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        self.rejoin_at = None;
        match self.join.join(self.is_incremental) {
            Ok(member) => (self.consumer, self.committer) = (member.consumer, member.committer),
            Err(error) => self.fail(format!("the consumer has failed: {error}")),
        }
    }

    fn fail(&mut self, why: String) {
        self.held.push_back(SourceEvent::Failed(why));
        self.stopped = true;
    }

    fn serve_notices(&mut self) {
        let (lacks_protocol, errors, statistics) = {
            let mut notices = self.notices.lock();
            (
                std::mem::take(&mut notices.lacks_protocol),
                std::mem::take(&mut notices.errors),
                notices.statistics.take(),
            )
        };
        // After the join, a coordinator that does not know the protocol is one of a cluster in a rolling upgrade or downgrade.
        if lacks_protocol && self.is_incremental && self.owned.is_empty() && !self.stopped {
            self.lacks_protocol();
        }
        let any = !errors.is_empty();
        for (code, reason) in errors {
            self.client_error(code, &reason);
        }
        if let Some(statistics) = statistics {
            self.look_at(&statistics);
            self.report_ends(&statistics);
            self.watch_recovery(&statistics);
            self.watch_presence();
        } else if any {
            self.report_readable();
        }
    }

    fn offer_held(&mut self) {
        while let Some(event) = self.held.pop_front() {
            if let Err(event) = self.sink.offer(event) {
                self.held.push_front(event);
                return;
            }
        }
    }

    /// Reads a chunk of every partition that is not paused. Returns true if there was any record.
    fn read_round(&mut self) -> bool {
        let count = self.partitions.len();
        let mut any = false;
        let mut stopped_at = Vec::new();
        for turn in 0..count {
            let index = (self.first + turn) % count;
            let Some(partition) = self.partitions.get_mut(index) else { break };
            if partition.paused || partition.out_of_range {
                continue;
            }
            let mut error = self.errors.remove(&partition.id);
            if !partition.take_nonempty() && error.is_none() {
                continue;
            }
            let read = partition.read(&mut error);
            if let Some(error) = error {
                self.errors.insert(partition.id, error);
            }
            match read {
                ReadOutcome::Nothing => {}
                read @ (ReadOutcome::Chunk(_) | ReadOutcome::End) => {
                    any = true;
                    self.conditions.reads(&partition.topic);
                    if partition.stamped_by_broker {
                        self.join.say_stamped_by_broker(&partition.topic);
                    }
                    let partition = partition.id;
                    let event = match read {
                        ReadOutcome::Chunk(records) => SourceEvent::Records { partition, records },
                        _ => SourceEvent::AtEnd(partition),
                    };
                    if let Err(event) = self.sink.offer(event) {
                        self.held.push_back(event);
                        self.first = (index + 1) % count;
                        break;
                    }
                }
                ReadOutcome::Error(error) if AssignedPartition::is_out_of_range(&error) => {
                    partition.out_of_range = true;
                    self.look_again = Instant::now();
                }
                ReadOutcome::Error(error) => stopped_at.push((partition.topic.clone(), error)),
            }
        }
        if self.held.is_empty() {
            self.first = self.first.wrapping_add(1) % count.max(1);
        }
        for (topic, error) in stopped_at {
            if let KafkaError::MessageConsumptionFatal(_) = error {
                self.stopped = true;
                self.held.push_back(SourceEvent::Failed(format!("reading {topic} has failed: {error}")));
            } else {
                self.read_error(&topic, &error);
                self.report_readable();
            }
        }
        self.reset_offsets();
        any
    }
}
