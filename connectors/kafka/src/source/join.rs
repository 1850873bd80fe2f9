//! Makes consumers, and chooses the protocol by which they join their group.
//!
//! librdkafka cannot say which protocols the brokers know before it has tried one. So the first consumer tries KIP-848. If the
//! brokers do not know it, that consumer has failed for good, and one of the classic protocol replaces it.

use std::sync::Arc;

use lockstep_engine::condition::Cause;
use lockstep_engine::pipeline::{GroupProtocol, KafkaSpec};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use super::committer::Committer;
use super::context::{Notices, SourceContext, Wake};
use crate::Error;
use crate::config::{self, ReadAhead};

/// The property that makes a process a static member of the group.
const NAME: &str = "group.instance.id";

/// A member of the group.
pub(super) struct Member {
    /// The consumer, which joins the group when it is polled.
    pub(super) consumer: Arc<BaseConsumer<SourceContext>>,
    /// The thread that makes its commits.
    pub(super) committer: Committer,
}

/// Makes consumers for the same topics and the same group.
pub(super) struct GroupJoin {
    pub(super) spec: KafkaSpec,
    /// The topics, by input.
    pub(super) topics: Vec<String>,
    pub(super) read_ahead: ReadAhead,
    pub(super) reports_ends: bool,
    pub(super) notices: Arc<Mutex<Notices>>,
    pub(super) wake: Arc<Wake>,
    /// Topics for which the warning about broker timestamps was logged.
    pub(super) stamped_by_broker: Vec<String>,
}

impl GroupJoin {
    /// Returns true if the first consumer tries the protocol of KIP-848.
    pub(super) fn tries_incremental(&self) -> bool {
        match self.spec.group_protocol {
            GroupProtocol::Auto => !config::is_classic(&self.spec),
            GroupProtocol::Classic => false,
            GroupProtocol::Consumer => true,
        }
    }

    /// Returns true if the classic protocol may be used with brokers that know no other.
    pub(super) fn may_fall_back(&self) -> bool {
        self.spec.group_protocol == GroupProtocol::Auto
    }

    /// The error after another member has taken the name of this one. librdkafka never recovers from it.
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

    /// The cause while the group refuses this process because another member has its name. That member runs, or it has died and its
    /// session has not ended.
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

    /// Warns once of a topic whose records have the broker's timestamps: their event time is then their time of arrival.
    pub(super) fn say_stamped_by_broker(&mut self, topic: &str) {
        if !self.stamped_by_broker.iter().any(|known| known == topic) {
            self.stamped_by_broker.push(topic.to_owned());
            tracing::warn!(
                topic,
                remedy =
                    "set message.timestamp.type=CreateTime on the topic, or send ce_time or event-time-ns",
                "records aligned by the broker's time of arrival, as they have no other event time"
            );
        }
    }

    /// Makes a consumer, which joins the group when it is polled.
    ///
    /// # Errors
    /// When Lockstep sets a property itself, or librdkafka refuses one.
    pub(super) fn join(&self, is_incremental: bool) -> Result<Member, Error> {
        let mut settings = config::consumer(&self.spec, is_incremental, self.read_ahead)?;
        if self.reports_ends {
            settings.set("enable.partition.eof", "true");
        }
        let mut consumer: BaseConsumer<SourceContext> = settings
            .create_with_context(SourceContext { notices: self.notices.clone() })
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
        Ok(Member { consumer, committer })
    }
}
