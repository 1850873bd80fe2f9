//! The poll thread. One loop: do what was asked, serve the group, hand over what is there, wait.

mod assignment;
mod commits;
mod ends;
mod group;
mod offset_query;
mod offset_reset;
mod presence;
mod recovery;
mod standing;

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
use self::group::Step;
use self::offset_query::OffsetQuery;
use self::offset_reset::Left;
use self::presence::Presence;
use self::recovery::Recovery;
use self::standing::Standing;
use super::committer::Committer;
use super::context::{Context, Notices, Wake};
use super::join::{Join, Member};
use super::partition::{Partition, Read};
use super::{Close, Mailbox};
use crate::kafka::changelog::Changelog;
use crate::kafka::config;
use crate::kafka::inquiry::Inquiry;
use crate::kafka::membership::Membership;

/// How long the thread sleeps at most: well within any session's and poll interval's limits.
const IDLE: Duration = Duration::from_millis(100);
/// How soon an event that was given back is offered again.
const OFFER_AGAIN: Duration = Duration::from_millis(1);
/// How long a request to the brokers may take.
const REQUEST: Duration = Duration::from_secs(3);
/// How soon a group that has refused this member is joined anew.
const REJOIN: Duration = Duration::from_secs(5);
/// How soon a request that failed is made again.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Poller {
    join: Join,
    consumer: Arc<BaseConsumer<Context>>,
    committer: Committer,
    /// Whether only partitions that move are taken and given: the protocol of KIP-848.
    is_incremental: bool,
    sink: Box<dyn SourceSink>,
    notices: Arc<Mutex<Notices>>,
    mailbox: Arc<Mutex<Mailbox>>,
    wake: Arc<Wake>,
    membership: Arc<Membership>,
    inputs: Arc<HashMap<String, InputId>>,
    start: StartAt,
    next_epoch: Instant,
    /// What streams carry on; none where nothing is kept of it.
    changelog: Option<Changelog>,
    /// Assigned now, in the order in which they are read.
    partitions: Vec<Partition>,
    /// Errors of partitions that came behind records.
    errors: HashMap<PartitionId, KafkaError>,
    /// Those that may be committed: assigned, or revoked and not yet let go.
    owned: HashSet<PartitionId>,
    paused: HashSet<PartitionId>,
    /// Events that had no room. No record is read while there are any.
    held: VecDeque<SourceEvent>,
    step: Step,
    commits: Commits,
    stopped: bool,
    /// Where the next round over the partitions begins, so that none is always last.
    first: usize,
    standing: Standing,
    /// When the group is joined anew, as it has refused this member.
    rejoin_at: Option<Instant>,
    /// When partitions out of range are looked at again.
    look_again: Instant,
    /// Which offsets the brokers have of them.
    left: Option<OffsetQuery<Left>>,
    recovery: Recovery,
    presence: Presence,
    /// Whether the brokers answer another client, while this one does not recover.
    another: Option<OffsetQuery<()>>,
    /// How many partitions the inputs have, as told last.
    counts: Vec<i32>,
}

impl Poller {
    pub(super) fn new(
        (join, (consumer, committer)): (Join, Member),
        sink: Box<dyn SourceSink>,
        notices: Arc<Mutex<Notices>>,
        mailbox: Arc<Mutex<Mailbox>>,
        (wake, membership, conditions): (Arc<Wake>, Arc<Membership>, Arc<dyn Conditions>),
        inputs: HashMap<String, InputId>,
        (start, changelog): (StartAt, Option<Changelog>),
    ) -> Self {
        let inquiry = Inquiry::new(config::connecting(&join.spec.brokers, &join.spec.consumer));
        Self {
            is_incremental: join.tries_incremental(),
            join,
            consumer,
            committer,
            sink,
            notices,
            mailbox,
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
            step: Step::Settled,
            commits: Commits::default(),
            stopped: false,
            first: 0,
            standing: Standing::new(conditions, inquiry),
            rejoin_at: None,
            look_again: Instant::now(),
            left: None,
            recovery: Recovery::default(),
            presence: Presence::default(),
            another: None,
            counts: Vec::new(),
        }
    }

    pub(super) fn run(mut self) {
        loop {
            if let Some(close) = self.serve_mailbox() {
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
                self.partitions.iter().for_each(Partition::look_again);
            }
        }
    }

    fn serve_mailbox(&mut self) -> Option<Close> {
        let (paused, commit, close) = {
            let mut mailbox = self.mailbox.lock();
            self.stopped |= mailbox.stopped;
            let changed = std::mem::take(&mut mailbox.paused_changed);
            let paused = changed.then(|| mailbox.paused.iter().flatten().copied().collect());
            (paused, std::mem::take(&mut mailbox.commit), mailbox.close.take())
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

    /// Serves the group's queue, which keeps the member alive. Records do not come this way.
    fn poll_group(&mut self, timeout: Duration) {
        loop {
            let noted = self.notices.lock().noted;
            let consumer = self.consumer.clone();
            match consumer.poll(timeout) {
                Some(polled) => self.unexpected(polled),
                // Nothing, or an event that has been noted: then there may be more behind it.
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
                // Cannot be, as the queues are split before partitions are assigned. If it is,
                // nothing may be lost: partitions are read again from where they stand.
                tracing::error!(topic = message.topic(), "a record came through the group's queue");
                self.assign_again();
            }
            Err(KafkaError::MessageConsumptionFatal(code)) => {
                let why = self.consumer.client().fatal_error().map_or_else(String::new, |(_, why)| why);
                // The last: brokers can be set up without the assignor that keeps the inputs of a stream together.
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
            // Told through the context, with more words.
            Err(_) => {}
        }
    }

    /// Joins by the classic protocol, as the brokers know no other. Nothing has been assigned until then.
    fn lacks_protocol(&mut self) {
        if !self.join.may_fall_back() {
            return self.fail(
                "the brokers do not know the group protocol of KIP-848 (Apache Kafka has it from 4.0 on) or its range \
                 assignor (group.consumer.assignors): write kafka.group_protocol = \"auto\""
                    .into(),
            );
        }
        match self.join.join(false) {
            Ok((consumer, committer)) => {
                tracing::info!(
                    "the brokers do not know the group protocol of KIP-848, or not its range assignor: the classic one \
                     is used"
                );
                (self.consumer, self.committer) = (consumer, committer);
                self.is_incremental = false;
                self.notices.lock().errors.clear();
            }
            Err(error) => self.fail(format!("the consumer has failed: {error}")),
        }
    }

    /// Joins anew where the group has refused this member, for want of a right or as its name is taken: for librdkafka that is for
    /// good.
    fn rejoin(&mut self) {
        if self.stopped || self.rejoin_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        self.rejoin_at = None;
        match self.join.join(self.is_incremental) {
            Ok((consumer, committer)) => (self.consumer, self.committer) = (consumer, committer),
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
        // Of a group that has been joined, a coordinator that does not know it is one of several that are being replaced.
        if lacks_protocol && self.is_incremental && self.owned.is_empty() && !self.stopped {
            self.lacks_protocol();
        }
        let any = !errors.is_empty();
        for (code, reason) in errors {
            self.client_error(code, &reason);
        }
        if let Some(statistics) = statistics {
            self.look_at(&statistics);
            self.tell_ends(&statistics);
            self.watch_recovery(&statistics);
            self.watch_presence();
        } else if any {
            self.tell_readable();
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

    /// Reads a chunk of every partition that is not paused. Says whether there was anything.
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
                Read::Nothing => {}
                read @ (Read::Chunk(_) | Read::End) => {
                    any = true;
                    self.standing.reads(&partition.topic);
                    if partition.stamped_by_broker {
                        self.join.say_stamped_by_broker(&partition.topic);
                    }
                    let partition = partition.id;
                    let event = match read {
                        Read::Chunk(records) => SourceEvent::Records { partition, records },
                        _ => SourceEvent::AtEnd(partition),
                    };
                    if let Err(event) = self.sink.offer(event) {
                        self.held.push_back(event);
                        self.first = (index + 1) % count;
                        break;
                    }
                }
                Read::Error(error) if Partition::is_out_of_range(&error) => {
                    partition.out_of_range = true;
                    self.look_again = Instant::now();
                }
                Read::Error(error) => stopped_at.push((partition.topic.clone(), error)),
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
                self.tell_readable();
            }
        }
        self.find_what_is_left();
        any
    }
}
