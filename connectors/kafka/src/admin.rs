//! Topics: looks up their partitions, creates the missing ones, and changes their settings.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lockstep_engine::condition::Cause;
use lockstep_engine::pipeline::Pipeline;
use parking_lot::Mutex;
use pollster::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::inquiry::{self, Inquiry};
use super::{Error, client_log, collision, config, diagnosis};

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Its number of partitions.
    pub partitions: i32,
    /// The number of replicas of each partition; the broker's own default when absent.
    pub replication: Option<i32>,
    /// Compaction keeps only the latest record of each key.
    pub is_compacted: bool,
}

/// The settings of a compacted topic. A process reads the whole topic of a newly assigned partition, so the broker cleans up early.
/// A key without a new record for a week belongs to a stream that has ended.
const COMPACTED: &[(&str, &str)] = &[
    ("cleanup.policy", "compact,delete"),
    ("retention.ms", "604800000"),
    ("segment.bytes", "33554432"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

/// The outcome for a topic to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateOutcome {
    /// It was created.
    Created,
    /// It existed, with the wanted number of partitions.
    Existed,
}

/// The most events of a client that are searched for the cause of a failed connection.
const EVENTS: usize = 256;

/// Keeps the error that explains best why the client cannot connect.
#[derive(Default)]
pub(super) struct ConnectErrors(Mutex<Option<(Option<RDKafkaErrorCode>, String)>>);

impl ClientContext for ConnectErrors {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "error of the admin client");
        let (code, mut last) = (error.rdkafka_error_code(), self.0.lock());
        // "All brokers are down" does not say why.
        if last.is_none() || !diagnosis::is_summary(code) {
            *last = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for ConnectErrors {}

impl ConnectErrors {
    /// Returns the cause after a request with these settings has failed to reach the brokers.
    fn cause(&self, settings: ClientConfig, error: &KafkaError) -> Cause {
        let Some((code, reason)) = self.0.lock().take() else {
            let silent = "see that they run and that kafka.brokers names them as host:port,host:port";
            return Cause::passing(error.to_string(), silent);
        };
        let found =
            inquiry::doubt(code, &reason).and_then(|doubt| Inquiry::new(settings).find(doubt, &reason));
        found.unwrap_or_else(|| diagnosis::cause(code, &reason))
    }
}

/// The state of a topic, as a user sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TopicState {
    /// It exists, with this number of partitions.
    Partitions(i32),
    /// It does not exist.
    Missing,
    /// The user may not see whether it exists.
    Hidden,
}

/// The numbers of partitions of topics, in the order of `topics`; none for a topic that does not exist.
///
/// # Errors
/// When the brokers cannot be reached within the time, the user may not see a topic, or librdkafka refuses a property.
pub fn partition_counts(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topics: &[&str],
    within: Duration,
) -> Result<Vec<Option<i32>>, Error> {
    let found = find(brokers, properties, topics, within)?;
    let hidden = |(topic, found): (&&str, &TopicState)| {
        (*found == TopicState::Hidden)
            .then(|| ((*topic).to_owned(), diagnosis::lacks("DESCRIBE", &format!("topic {topic}"))))
    };
    let hidden: Vec<(String, Cause)> = topics.iter().zip(&found).filter_map(hidden).collect();
    if !hidden.is_empty() {
        return Err(Error::Hidden(hidden));
    }
    Ok(found.into_iter().map(TopicState::count).collect())
}

impl TopicState {
    fn of(metadata: &Metadata, topic: &str) -> Self {
        let topic = metadata.topics().iter().find(|found| found.name() == topic);
        let error = topic.and_then(|topic| topic.error()).map(RDKafkaErrorCode::from);
        let count = topic.and_then(|topic| i32::try_from(topic.partitions().len()).ok());
        match (error, count.filter(|count| *count > 0)) {
            (Some(RDKafkaErrorCode::TopicAuthorizationFailed), _) => Self::Hidden,
            (_, Some(count)) => Self::Partitions(count),
            (_, None) => Self::Missing,
        }
    }

    pub(super) fn count(self) -> Option<i32> {
        match self {
            Self::Partitions(count) => Some(count),
            Self::Missing | Self::Hidden => None,
        }
    }
}

pub(super) fn find(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topics: &[&str],
    within: Duration,
) -> Result<Vec<TopicState>, Error> {
    TopicLookup::new(brokers, properties, within)?.find(topics)
}

/// A client that looks up topics by name, as often as wanted.
pub(super) struct TopicLookup {
    client: BaseConsumer<ConnectErrors>,
    settings: ClientConfig,
    brokers: String,
    within: Duration,
}

impl TopicLookup {
    /// Makes a client that waits this long for each answer.
    pub(super) fn new(
        brokers: &str,
        properties: &BTreeMap<String, String>,
        within: Duration,
    ) -> Result<Self, Error> {
        let mut settings = config::connecting(brokers, properties);
        // A consumer, because its question does not create the topic where brokers create topics automatically. By name, because a
        // cluster may have thousands of other topics.
        settings.set("allow.auto.create.topics", "false");
        let client = settings
            .create_with_context(ConnectErrors::default())
            .map_err(|error| config::not_made("client", &error))?;
        Ok(Self { client, settings, brokers: brokers.to_owned(), within })
    }

    fn find(&self, topics: &[&str]) -> Result<Vec<TopicState>, Error> {
        self.find_with_brokers(topics).map(|(found, _)| found)
    }

    /// The states of topics, and the ids of all brokers; no ids if there is no topic to ask about.
    pub(super) fn find_with_brokers(&self, topics: &[&str]) -> Result<(Vec<TopicState>, Vec<i32>), Error> {
        let (mut found, mut numbers) = (Vec::new(), Vec::new());
        for topic in topics {
            let metadata = self.client.fetch_metadata(Some(topic), self.within).map_err(|error| {
                // One event at a time; some events are log lines.
                (0..EVENTS).for_each(|_| drop(self.client.poll(Duration::ZERO)));
                let cause = self.client.context().cause(self.settings.clone(), &error);
                Error::Unreachable { brokers: self.brokers.clone(), cause }
            })?;
            found.push(TopicState::of(&metadata, topic));
            numbers = metadata.brokers().iter().map(|broker| broker.id()).collect();
        }
        Ok((found, numbers))
    }
}

/// The input topics of a pipeline.
pub fn input_topics(pipeline: &Pipeline) -> Vec<&str> {
    pipeline.inputs.iter().map(|input| input.topic.as_str()).collect()
}

/// The output topics of a pipeline without [`PublishSpec::state`](lockstep_engine::pipeline::PublishSpec::state).
pub fn output_topics(pipeline: &Pipeline) -> Vec<&str> {
    let publish = &pipeline.publish;
    let mut topics = vec![publish.results.as_str(), publish.dead_letters.as_str()];
    topics.extend(publish.late.as_deref());
    topics.dedup();
    topics
}

/// The pause between two requests for metadata.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Creates topics, and returns the outcome of each. A topic that exists with another number of partitions is an error: Kafka can
/// add partitions, but keys would then move.
///
/// # Errors
/// One for the client, or one for each topic that could not be created.
pub fn create_topics(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topics: &[TopicSpec],
    within: Duration,
) -> Result<Vec<Result<CreateOutcome, Error>>, Error> {
    create_topics_with(brokers, properties, topics, &[], within)
}

/// Creates topics as [`create_topics`] does, with the settings in `own`.
///
/// # Errors
/// As [`create_topics`].
pub fn create_topics_with(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topics: &[TopicSpec],
    own: &[(&str, String)],
    within: Duration,
) -> Result<Vec<Result<CreateOutcome, Error>>, Error> {
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    // A user who may create a topic need not have the right to see it.
    let lookup = TopicLookup::new(brokers, properties, within)?;
    let counts: Vec<Option<i32>> = lookup.find(&names)?.into_iter().map(TopicState::count).collect();
    let client = admin_client(brokers, properties)?;
    let options = AdminOptions::new().request_timeout(Some(within)).operation_timeout(Some(within));
    let created: Vec<Result<CreateOutcome, Error>> = topics
        .iter()
        .zip(counts)
        .map(|(topic, count)| create(&client, &options, topic, own, count))
        .collect();
    let is_new = |created: &Result<CreateOutcome, Error>| matches!(created, Ok(CreateOutcome::Created));
    let new: Vec<&str> =
        names.iter().zip(&created).filter(|(_, created)| is_new(created)).map(|(name, _)| *name).collect();
    wait_until_known(&lookup, &new, within)?;
    Ok(created)
}

/// Waits until the metadata of the answering broker contain the new topics. A busy broker acknowledges a topic before that, and a
/// pipeline that started then would miss the topic. Gives up after the given time.
fn wait_until_known(lookup: &TopicLookup, topics: &[&str], within: Duration) -> Result<(), Error> {
    let until = Instant::now() + within;
    while !topics.is_empty() && lookup.find(topics)?.contains(&TopicState::Missing) && Instant::now() < until
    {
        std::thread::park_timeout(ASK_AGAIN_AFTER);
    }
    Ok(())
}

fn create(
    client: &AdminClient<DefaultClientContext>,
    options: &AdminOptions,
    topic: &TopicSpec,
    own: &[(&str, String)],
    count: Option<i32>,
) -> Result<CreateOutcome, Error> {
    let what = || format!("cannot create the topic {}", topic.name);
    match count {
        Some(count) if count == topic.partitions => return Ok(CreateOutcome::Existed),
        Some(count) => {
            let why = format!(
                "it exists with {count} partitions, not {}; delete it first, or take --partitions {count}",
                topic.partitions
            );
            return Err(Error::client(what(), why));
        }
        None => {}
    }
    let replication = TopicReplication::Fixed(topic.replication.unwrap_or(-1));
    let mut new = NewTopic::new(&topic.name, topic.partitions, replication);
    if topic.is_compacted {
        new = COMPACTED.iter().fold(new, |new, (key, value)| new.set(key, value));
    }
    new = own.iter().fold(new, |new, (key, value)| new.set(key, value));
    let answers = block_on(client.create_topics([&new], options)).map_err(|error| {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut) => Error::client(
                what(),
                "the broker did not answer; the embedded broker takes topics only when it is started: \
             lockstep broker --topic NAME:PARTITIONS",
            ),
            _ => Error::client(what(), error),
        }
    })?;
    match answers.into_iter().next() {
        Some(Ok(_)) => Ok(CreateOutcome::Created),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(CreateOutcome::Existed),
        Some(Err((_, RDKafkaErrorCode::InvalidTopic))) => {
            Err(Error::client(what(), collision::named(client, &topic.name)))
        }
        Some(Err((_, code))) => Err(Error::client(what(), code)),
        None => Err(Error::client(what(), "the broker's answer does not name it")),
    }
}

/// Changes settings of a topic, and resets all others to the defaults of the brokers.
///
/// # Errors
/// If the brokers refuse the change or cannot be reached.
pub fn set_topic(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topic: &str,
    settings: &[(&str, &str)],
    within: Duration,
) -> Result<(), Error> {
    let what = || format!("cannot change the topic {topic}");
    let client = admin_client(brokers, properties)?;
    let options = AdminOptions::new().request_timeout(Some(within));
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic));
    let change = settings.iter().fold(change, |change, (name, value)| change.set(name, value));
    let answers =
        block_on(client.alter_configs([&change], &options)).map_err(|error| Error::client(what(), error))?;
    for answer in answers {
        answer.map_err(|(_, code)| Error::client(what(), code))?;
    }
    Ok(())
}

pub(super) fn admin_client(
    brokers: &str,
    properties: &BTreeMap<String, String>,
) -> Result<AdminClient<DefaultClientContext>, Error> {
    let settings = config::connecting(brokers, properties);
    settings.create().map_err(|error| config::not_made("admin client", &error))
}
