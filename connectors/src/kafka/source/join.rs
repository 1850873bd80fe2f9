//! How a consumer is made and joins its group, and by which protocol.
//!
//! librdkafka does not tell what brokers know before it has tried, so the protocol of KIP-848 is tried first, and a
//! consumer whose brokers do not know it, which has failed for good, is replaced by one of the classic protocol.

use std::sync::Arc;

use lockstep_engine::condition::Cause;
use lockstep_engine::pipeline::{GroupProtocol, KafkaSpec};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use super::committer::Committer;
use super::context::{Context, Notices, Wake};
use crate::kafka::Error;
use crate::kafka::config::{self, ReadAhead};

/// The property by which a process keeps its place in the group.
const NAME: &str = "group.instance.id";

/// A consumer, and the thread that makes its commits.
pub(super) type Member = (Arc<BaseConsumer<Context>>, Committer);

/// Makes consumers for the same topics and the same group.
pub(super) struct Join {
    pub(super) spec: KafkaSpec,
    /// By input.
    pub(super) topics: Vec<String>,
    pub(super) read_ahead: ReadAhead,
    pub(super) tells_ends: bool,
    pub(super) notices: Arc<Mutex<Notices>>,
    pub(super) wake: Arc<Wake>,
    /// Topics of which it was said that the broker stamps their records.
    pub(super) stamped_by_broker: Vec<String>,
}

impl Join {
    /// Whether the protocol of KIP-848 is tried.
    pub(super) fn tries_incremental(&self) -> bool {
        match self.spec.group_protocol {
            GroupProtocol::Auto => !config::is_classic(&self.spec),
            GroupProtocol::Classic => false,
            GroupProtocol::Consumer => true,
        }
    }

    /// Whether the classic protocol is right where brokers know no other.
    pub(super) fn may_fall_back(&self) -> bool {
        self.spec.group_protocol == GroupProtocol::Auto
    }

    /// What is wrong where another member has taken the name of this one, which librdkafka never gets over.
    pub(super) fn fenced(&self, code: RDKafkaErrorCode) -> Option<String> {
        (code == RDKafkaErrorCode::FencedInstanceId).then(|| {
            format!(
                "kafka.consumer.{NAME:?}: another process of the group {} has the name {:?} too, and has taken the place of \
                 this one; give each process a name of its own, or remove the line",
                self.spec.group,
                self.name()
            )
        })
    }

    /// Why the group does not take this process in while it holds a place for another of its name: one that runs, or one that has
    /// died and is not given up yet.
    pub(super) fn name_is_held(&self) -> Cause {
        Cause::lasting(
            format!(
                "the group {} holds the place of another process with the group.instance.id {:?}",
                self.spec.group,
                self.name()
            ),
            "if that process has died, wait until the brokers give it up (group.consumer.session.timeout.ms, 45 s), or write \
             kafka.group_protocol = \"classic\", where its place is had at once; if it runs, give each process a name of its own",
        )
    }

    fn name(&self) -> &str {
        self.spec.consumer.get(NAME).map_or("?", String::as_str)
    }

    /// Says once of a topic that the broker stamps its records: with that, event time is when they arrived there.
    pub(super) fn say_stamped_by_broker(&mut self, topic: &str) {
        if !self.stamped_by_broker.iter().any(|known| known == topic) {
            self.stamped_by_broker.push(topic.to_owned());
            tracing::warn!(
                topic,
                "records have no event time but when the broker appended them (message.timestamp.type=LogAppendTime), so they \
                 are aligned by when they arrived; set message.timestamp.type=CreateTime on the topic, or send ce_time or \
                 event-time-ns"
            );
        }
    }

    /// A consumer that is about to join the group.
    ///
    /// # Errors
    /// When a property is not the user's to set, or librdkafka refuses one.
    pub(super) fn join(&self, is_incremental: bool) -> Result<Member, Error> {
        let mut settings = config::consumer(&self.spec, is_incremental, self.read_ahead)?;
        if self.tells_ends {
            settings.set("enable.partition.eof", "true");
        }
        let mut consumer: BaseConsumer<Context> = settings
            .create_with_context(Context { notices: self.notices.clone() })
            .map_err(|error| config::not_made("consumer", &error))?;
        let woken = self.wake.clone();
        consumer.set_nonempty_callback(move || woken.wake());
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        consumer
            .subscribe(&topics)
            .map_err(|error| Error::client(format!("cannot subscribe to {}", topics.join(", ")), error))?;
        let consumer = Arc::new(consumer);
        let committer = Committer::start(consumer.clone(), self.notices.clone(), self.wake.clone())
            .map_err(|error| Error::client("cannot start the thread of commits", error))?;
        Ok((consumer, committer))
    }
}
