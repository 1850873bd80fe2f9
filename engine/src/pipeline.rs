//! A whole pipeline after all checks. The settings become it, and the runtime is built from it.

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
    /// The brokers, and the settings of the clients.
    pub kafka: KafkaSpec,
    /// The inputs; at least one.
    pub inputs: Vec<InputSpec>,
    /// The policy that joins them.
    pub align: AlignPolicy,
    /// The number of align actors at the start. A hash of a stream's key assigns the stream to one of them.
    pub shards: usize,
    /// The rules by which the numbers of shards, instances and processes follow the load.
    pub scaling: ScalingSpec,
    /// The steps, each after the steps that it takes from; at least one.
    pub steps: Vec<Step>,
    /// The topics of results and side outputs.
    pub publish: PublishSpec,
    /// The delivery guarantee of results.
    pub delivery: DeliverySpec,
    /// Bounds and deadlines.
    pub limits: Limits,
    /// The reaction to a part that fails.
    pub supervision: Supervision,
    /// The address that serves metrics and health, such as `127.0.0.1:9464`; none to serve nothing.
    pub http: Option<String>,
    /// The secret that permits changes over HTTP; without one nothing can be changed.
    pub http_token: Option<HttpToken>,
}

/// The secret that permits changes over HTTP. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpToken(String);

impl HttpToken {
    /// The least number of characters of a token: fewer could be guessed.
    pub const LEAST: usize = 16;

    /// Parses a token from a variable or a file. Line ends after it are not part of it.
    ///
    /// # Errors
    /// If it is too short or has other characters than visible ASCII. The text never contains the token.
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

/// The brokers, and the settings of the clients. `Debug` shows the names of the properties alone: their values may be
/// secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSpec {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// The consumer group.
    pub group: String,
    /// The start of a group without committed offsets.
    pub start: StartAt,
    /// The protocol by which the group assigns its partitions.
    pub group_protocol: GroupProtocol,
    /// librdkafka's own properties for the consumer, beside the ones that Lockstep sets.
    pub consumer: BTreeMap<String, String>,
    /// librdkafka's own properties for the producer, beside the ones that Lockstep sets.
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

/// The protocol by which a consumer group assigns its partitions. Both assign all inputs of a stream to one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The protocol of KIP-848 if the brokers support it, else the classic one.
    #[default]
    Auto,
    /// All members revoke all partitions for a moment. Every broker supports it.
    Classic,
    /// Members revoke only partitions that move (KIP-848). Apache Kafka supports it from 4.0 on.
    Consumer,
}

/// The start of a group without committed offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// The oldest record that the broker has.
    #[default]
    Earliest,
    /// The records that are written from now on.
    Latest,
}

/// The topics of results and side outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishSpec {
    /// The topic of the results.
    pub results: String,
    /// The topic of the dead letters.
    pub dead_letters: String,
    /// The topic of late samples; none to drop and count them.
    pub late: Option<String>,
    /// The compacted topic of stream state. None if no model is recurrent, or if its state may start empty.
    pub state: Option<String>,
}

/// The delivery guarantee of results, and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySpec {
    /// The guarantee.
    pub guarantee: Guarantee,
    /// The time for which a transaction collects results before it is committed. It is longer during a backlog; see
    /// [`Transaction::longest`](crate::publish::Transaction::longest).
    pub transaction_every: Duration,
    /// The most characters of a commit's metadata: the brokers' `offset.metadata.max.bytes`.
    pub metadata_limit: usize,
    /// The longest time for which revoked partitions are kept to finish their records in flight.
    pub revoke_within: Duration,
    /// The reaction to an undeliverable record: brokers refuse its result, its dead letter, and a stub of the dead
    /// letter.
    pub on_undeliverable: OnUndeliverable,
}

/// The reaction to an undeliverable record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUndeliverable {
    /// The pipeline ends, and no offset is committed past it.
    #[default]
    Stop,
    /// The record is counted, logged and lost.
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

/// The delivery guarantee of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// No result is missing. After a crash, some may be published twice, with the same bundle id.
    #[default]
    AtLeastOnce,
    /// No result is missing and none occurs twice, for consumers with `isolation.level=read_committed`.
    ExactlyOnce,
}

/// Bounds and deadlines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all payloads in flight, from the poll to the outcome.
    pub memory: u64,
    /// The most event time by which an input may be read ahead of another; none for as far as memory allows.
    pub max_drift: Option<Duration>,
    /// The longest time of an orderly stop before it is cut short.
    pub stop_within: Duration,
    /// The interval between commits of offsets.
    pub commit_every: Duration,
    /// The most bytes of models on a device, by the device's name: `cpu`, `cuda:0`. A device that is not named has no limit.
    pub model_memory: BTreeMap<String, u64>,
}

/// The reaction to a part of a pipeline that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supervision {
    /// The limit on restarts of an instance, and of the pipeline as a whole; each is counted by itself.
    pub restarts: RestartPolicy,
    /// The circuit breaker of a model that keeps failing.
    pub breaker: BreakerPolicy,
    /// An actor has failed if it has work and completes none of it within this time.
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
