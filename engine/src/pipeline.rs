//! A whole pipeline, checked: what the settings become and what the shells are built from.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::align::AlignPolicy;
use crate::infer::step::Step;
use crate::ingest::InputSpec;
use crate::scaling::ScalingSpec;
use crate::supervision::breaker::BreakerPolicy;
use crate::supervision::restart::RestartPolicy;

/// One pipeline. Everything in it has been checked: names are unique, references resolve, shapes fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// The brokers and how to talk to them.
    pub kafka: KafkaSpec,
    /// The inputs; at least one.
    pub inputs: Vec<InputSpec>,
    /// How they are joined.
    pub align: AlignPolicy,
    /// How many sync actors there are at the start; streams are spread over them by a hash of their key.
    pub shards: usize,
    /// How the numbers of shards, instances and processes follow the load.
    pub scaling: ScalingSpec,
    /// The steps, each after those that it takes from; at least one.
    pub steps: Vec<Step>,
    /// Where results go.
    pub publish: PublishSpec,
    /// What is promised of results.
    pub delivery: DeliverySpec,
    /// Bounds and deadlines.
    pub limits: Limits,
    /// What happens when a part of it fails.
    pub supervision: Supervision,
    /// Where metrics and health are served, `127.0.0.1:9464`; none to serve nothing.
    pub http: Option<String>,
    /// What has to be shown to change anything over HTTP; without one nothing can be changed.
    pub http_token: Option<HttpToken>,
}

/// A secret that who changes anything over HTTP has to show. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpToken(String);

impl HttpToken {
    /// The fewest characters that a token has: fewer could be guessed.
    pub const LEAST: usize = 16;

    /// A token as it stands in a variable or a file, whose last line end is not part of it.
    ///
    /// # Errors
    /// What is wrong with it; never the token itself.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches(['\r', '\n']);
        if text.len() < Self::LEAST || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(format!(
                "has to be {} or more visible ASCII characters; make one with `openssl rand -hex 32`",
                Self::LEAST
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The token, to be compared or sent.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HttpToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpToken(…)")
    }
}

/// The brokers and how to talk to them. `Debug` shows the names of the properties alone: their values may
/// be secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSpec {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// The consumer group.
    pub group: String,
    /// Where a group without committed offsets begins.
    pub start: StartAt,
    /// How the group shares its partitions out.
    pub group_protocol: GroupProtocol,
    /// librdkafka's own properties for the consumer, beside those that Lockstep sets.
    pub consumer: BTreeMap<String, String>,
    /// librdkafka's own properties for the producer, beside those that Lockstep sets.
    pub producer: BTreeMap<String, String>,
}

impl fmt::Debug for KafkaSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSpec")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("start", &self.start)
            .field("group_protocol", &self.group_protocol)
            .field("consumer", &self.consumer.keys())
            .field("producer", &self.producer.keys())
            .finish()
    }
}

/// How a consumer group shares its partitions out. Either way all of a stream's inputs go to one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// That of KIP-848 where the brokers know it, else the classic one.
    #[default]
    Auto,
    /// All members let everything go for a moment. Every broker knows it.
    Classic,
    /// Only partitions that move are let go (KIP-848). Apache Kafka has it from 4.0 on.
    Consumer,
}

/// Where a group without committed offsets begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// At the oldest record that the broker has.
    #[default]
    Earliest,
    /// At what comes from now on.
    Latest,
}

/// Where results go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishSpec {
    /// The topic of the results.
    pub results: String,
    /// The topic of the dead letters.
    pub dead_letters: String,
    /// The topic of late samples; none to drop and count them.
    pub late: Option<String>,
    /// The compacted topic of what recurrent models carry on; none where nothing is, or where it may begin anew.
    pub state: Option<String>,
}

/// What is promised of results, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySpec {
    /// The promise.
    pub guarantee: Guarantee,
    /// How long a transaction gathers results before it is committed; longer while there is a backlog, see
    /// [`Transaction::longest`](crate::publish::Transaction::longest).
    pub transaction_every: Duration,
    /// How many characters a commit's metadata may have: the brokers' `offset.metadata.max.bytes`.
    pub metadata_limit: usize,
    /// How long partitions that go to another process are kept for what is under way of them.
    pub revoke_within: Duration,
    /// What becomes of a record of which nothing can be kept: brokers refuse its result, its dead letter, and a stub of that.
    pub on_undeliverable: OnUndeliverable,
}

/// What becomes of a record of which nothing can be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUndeliverable {
    /// The pipeline ends, and no position is committed past it.
    #[default]
    Stop,
    /// It is counted, logged and lost.
    Drop,
}

impl Default for DeliverySpec {
    fn default() -> Self {
        Self {
            guarantee: Guarantee::default(),
            transaction_every: Duration::from_millis(100),
            metadata_limit: 4096,
            revoke_within: Duration::from_secs(5),
            on_undeliverable: OnUndeliverable::default(),
        }
    }
}

/// What is promised of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// None is missing. After a crash some may come twice, under the same bundle id.
    #[default]
    AtLeastOnce,
    /// None is missing and none comes twice, for those who read what is committed.
    ExactlyOnce,
}

/// Bounds and deadlines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all payloads in flight, from the poll to the outcome.
    pub memory: u64,
    /// How far, in event time, an input may be read ahead of another; none for as far as memory allows.
    pub max_drift: Option<Duration>,
    /// How long an orderly stop may take before it is cut short.
    pub stop_within: Duration,
    /// How often positions are committed.
    pub commit_every: Duration,
}

/// What happens when a part of a pipeline fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supervision {
    /// How often an instance, and the pipeline as a whole, is started again, each counted by itself.
    pub restarts: RestartPolicy,
    /// When a model that keeps failing is left alone.
    pub breaker: BreakerPolicy,
    /// An actor that has work and gets none of it done for so long has failed.
    pub stall_after: Duration,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            restarts: RestartPolicy::default(),
            breaker: BreakerPolicy::default(),
            stall_after: Duration::from_secs(60),
        }
    }
}
