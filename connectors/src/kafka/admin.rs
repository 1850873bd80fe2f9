//! Topics: which there are, with how many partitions, and making those that are missing.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

use lockstep_engine::condition::Cause;
use lockstep_engine::pipeline::Pipeline;
use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::inquiry::{self, Inquiry};
use super::{Error, collision, config, diagnosis};

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Its number of partitions.
    pub partitions: i32,
    /// On how many brokers each partition is kept; the broker's own default when absent.
    pub replication: Option<i32>,
    /// Whether of each key only the latest record counts.
    pub is_compacted: bool,
}

/// What a compacted topic is made with. A process that takes a partition over reads all that is left of it, so the
/// broker is to clean up early. What has not been said again for a week is of a stream that has ended.
const COMPACTED: &[(&str, &str)] = &[
    ("cleanup.policy", "compact,delete"),
    ("retention.ms", "604800000"),
    ("segment.bytes", "33554432"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

/// What became of a topic that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was made.
    Created,
    /// It was there, with so many partitions as wanted.
    Existed,
}

/// How many events of a client are looked at for why it cannot connect.
const EVENTS: usize = 256;

/// Keeps what the client says of why it cannot connect.
#[derive(Default)]
pub(super) struct Heard(Mutex<Option<(Option<RDKafkaErrorCode>, String)>>);

impl ClientContext for Heard {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::source::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the admin client");
        let (code, mut heard) = (error.rdkafka_error_code(), self.0.lock());
        // That all brokers are down says nothing of why.
        if heard.is_none() || !diagnosis::is_summary(code) {
            *heard = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Heard {}

impl Heard {
    /// Why brokers cannot be reached that a request with these settings has failed to reach.
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

/// What there is of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It has so many partitions.
    Partitions(i32),
    /// It is not there.
    Missing,
    /// Whether it is there may not be known.
    Hidden,
}

/// The numbers of partitions of topics, in the order asked; none for a topic that is not there.
///
/// # Errors
/// When the brokers cannot be reached within the time, a topic may not be seen, or librdkafka refuses a property.
pub fn partition_counts(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topics: &[&str],
    within: Duration,
) -> Result<Vec<Option<i32>>, Error> {
    let found = find(brokers, properties, topics, within)?;
    let hidden = |(topic, found): (&&str, &Found)| {
        (*found == Found::Hidden)
            .then(|| ((*topic).to_owned(), diagnosis::lacks("DESCRIBE", &format!("topic {topic}"))))
    };
    let hidden: Vec<(String, Cause)> = topics.iter().zip(&found).filter_map(hidden).collect();
    if !hidden.is_empty() {
        return Err(Error::Hidden(hidden));
    }
    Ok(found.into_iter().map(Found::count).collect())
}

impl Found {
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
) -> Result<Vec<Found>, Error> {
    find_with_brokers(brokers, properties, topics, within).map(|(found, _)| found)
}

/// What there is of topics, and the numbers of the brokers that there are; none where no topic is asked about.
pub(super) fn find_with_brokers(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topics: &[&str],
    within: Duration,
) -> Result<(Vec<Found>, Vec<i32>), Error> {
    let mut settings = config::connecting(brokers, properties);
    // A consumer, as one that asks for a topic by its name does not make it where brokers make topics by themselves; and by their
    // names, as a cluster may have thousands of others.
    settings.set("allow.auto.create.topics", "false");
    let client: BaseConsumer<Heard> =
        settings.create_with_context(Heard::default()).map_err(|error| config::not_made("client", &error))?;
    let (mut found, mut numbers) = (Vec::new(), Vec::new());
    for topic in topics {
        let metadata = client.fetch_metadata(Some(topic), within).map_err(|error| {
            // One event at a time, some of which are lines of its log.
            (0..EVENTS).for_each(|_| drop(client.poll(Duration::ZERO)));
            let cause = client.context().cause(settings.clone(), &error);
            Error::Unreachable { brokers: brokers.to_owned(), cause }
        })?;
        found.push(Found::of(&metadata, topic));
        numbers = metadata.brokers().iter().map(|broker| broker.id()).collect();
    }
    Ok((found, numbers))
}

/// The topics that a pipeline reads.
pub fn input_topics(pipeline: &Pipeline) -> Vec<&str> {
    pipeline.inputs.iter().map(|input| input.topic.as_str()).collect()
}

/// The topics that a pipeline writes, but for [`PublishSpec::state`](lockstep_engine::pipeline::PublishSpec::state).
pub fn output_topics(pipeline: &Pipeline) -> Vec<&str> {
    let publish = &pipeline.publish;
    let mut topics = vec![publish.results.as_str(), publish.dead_letters.as_str()];
    topics.extend(publish.late.as_deref());
    topics.dedup();
    topics
}

/// How long it takes until metadata are asked for again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Makes topics, and says of each what became of it. A topic that is there with another number of
/// partitions is an error: Kafka can add partitions, but keys would then move.
///
/// # Errors
/// One for the client, or one for each topic that could not be made.
pub fn create_topics(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topics: &[TopicSpec],
    within: Duration,
) -> Result<Vec<Result<Made, Error>>, Error> {
    create_topics_with(brokers, properties, topics, &[], within)
}

/// The same, with settings of their own for topics that are made.
///
/// # Errors
/// As [`create_topics`].
pub fn create_topics_with(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topics: &[TopicSpec],
    own: &[(&str, String)],
    within: Duration,
) -> Result<Vec<Result<Made, Error>>, Error> {
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    // What may be made need not be seen.
    let there: Vec<Option<i32>> =
        find(brokers, properties, &names, within)?.into_iter().map(Found::count).collect();
    let client = admin_client(brokers, properties)?;
    let options = AdminOptions::new().request_timeout(Some(within)).operation_timeout(Some(within));
    let made: Vec<Result<Made, Error>> = topics
        .iter()
        .zip(there)
        .map(|(topic, there)| create(&client, &options, (topic, own), there))
        .collect();
    let is_new = |made: &Result<Made, Error>| matches!(made, Ok(Made::Created));
    let new: Vec<&str> =
        names.iter().zip(&made).filter(|(_, made)| is_new(made)).map(|(name, _)| *name).collect();
    wait_until_known(brokers, properties, &new, within)?;
    Ok(made)
}

/// Waits until the broker that answers has the new topics in its metadata: a busy one acknowledges a topic before it knows it, and a
/// pipeline that started then would miss the topic. Gives up after the given time.
fn wait_until_known(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topics: &[&str],
    within: Duration,
) -> Result<(), Error> {
    let until = Instant::now() + within;
    while !topics.is_empty()
        && find(brokers, properties, topics, within)?.contains(&Found::Missing)
        && Instant::now() < until
    {
        std::thread::park_timeout(ASK_AGAIN_AFTER);
    }
    Ok(())
}

fn create(
    client: &AdminClient<DefaultClientContext>,
    options: &AdminOptions,
    (topic, own): (&TopicSpec, &[(&str, String)]),
    there: Option<i32>,
) -> Result<Made, Error> {
    let what = || format!("cannot make the topic {}", topic.name);
    match there {
        Some(count) if count == topic.partitions => return Ok(Made::Existed),
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
    let answers =
        wait(client.create_topics([&new], options)).map_err(|error| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut) => Error::client(
                what(),
                "the broker did not answer; the embedded broker takes topics only when it is started: \
             lockstep broker --topic NAME:PARTITIONS",
            ),
            _ => Error::client(what(), error),
        })?;
    match answers.into_iter().next() {
        Some(Ok(_)) => Ok(Made::Created),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(Made::Existed),
        Some(Err((_, RDKafkaErrorCode::InvalidTopic))) => {
            Err(Error::client(what(), collision::named(client, &topic.name)))
        }
        Some(Err((_, code))) => Err(Error::client(what(), code)),
        None => Err(Error::client(what(), "the broker's answer does not name it")),
    }
}

/// Changes settings of a topic; all others become those of the brokers.
///
/// # Errors
/// Why that is not done.
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
        wait(client.alter_configs([&change], &options)).map_err(|error| Error::client(what(), error))?;
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

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread. librdkafka's own thread completes it, within the request's timeout.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
