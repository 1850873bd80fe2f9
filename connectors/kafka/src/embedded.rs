//! A broker in this process, in memory, for a first try and for tests. It is librdkafka's own mock cluster, which real clients can
//! use over the loopback interface.

#![allow(unsafe_code)]

use rdkafka::bindings;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use super::{Error, config};

/// The limits of the embedded broker, for people. They are constants in librdkafka's `rdkafka_mock.c`.
pub const LIMITS: &str = "\
In memory only: everything is forgotten when it stops.
Keeps about 5 MiB (or 100 000 batches) a partition: older records are dropped, read or not.
Transactions are not isolated: their records can be read before they are committed.
Commits are refused while a group rebalances, and a rebalance takes a session timeout less a second:
with several processes in a group, some records are read twice.
CreateTopics requests are not answered: name topics here, or let the first client that asks for a
topic make it, with 4 partitions.
No TLS, no authentication, one node, the loopback interface alone. Not for production.";

/// The number of partitions of a topic that a client creates by asking for it.
pub const AUTO_PARTITIONS: i32 = 4;

/// The request by which a member stays in its group under KIP-848 (Apache Kafka's protocol guide, "API keys").
const CONSUMER_GROUP_HEARTBEAT: i16 = 68;

struct MockContext;

impl ClientContext for MockContext {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "error of the embedded broker");
    }
}

impl ProducerContext for MockContext {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &rdkafka::producer::DeliveryResult<'_>, (): ()) {}
}

/// The start of the cluster's identifier (librdkafka's rdkafka_mock.c).
pub(super) const EMBEDDED_CLUSTER: &str = "mockCluster";

/// A broker that lives until this is dropped.
pub struct EmbeddedBroker {
    /// Owns the cluster. It produces nothing.
    owner: BaseProducer<MockContext>,
    address: String,
}

impl EmbeddedBroker {
    /// Starts on a free loopback port, with these topics and their numbers of partitions.
    ///
    /// # Errors
    /// When no port is free, or a topic cannot be created.
    pub fn start(topics: &[(String, i32)]) -> Result<Self, Error> {
        let mut settings = ClientConfig::new();
        settings.set("test.mock.num.brokers", "1").set("client.id", "embedded-broker");
        settings.set_log_level(RDKafkaLogLevel::Error);
        let owner: BaseProducer<MockContext> = settings
            .create_with_context(MockContext)
            .map_err(|error| config::not_made("broker in this process", &error))?;
        let cluster = owner.client().mock_cluster().ok_or_else(|| {
            Error::client("cannot start the embedded broker", "librdkafka has not started it")
        })?;
        let address = cluster.bootstrap_servers();
        // SAFETY: the client is alive and has a mock cluster, as was just seen; the cluster lives as long
        // as the client; the function takes the cluster's own lock.
        unsafe {
            let cluster = bindings::rd_kafka_handle_mock_cluster(owner.client().native_ptr());
            // By default the first member of a group waits 3 s for others.
            bindings::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
        }
        drop(cluster);
        let broker = Self { owner, address };
        for (topic, partitions) in topics {
            broker.create_topic(topic, *partitions)?;
        }
        Ok(broker)
    }

    /// Limits the broker to the classic group protocol from now on, as brokers before Apache Kafka 4.0.
    pub fn grow_old(&self) {
        // SAFETY: the client is alive and was made with a mock cluster, which lives as long; the function takes the
        // cluster's own lock.
        unsafe {
            let cluster = bindings::rd_kafka_handle_mock_cluster(self.owner.client().native_ptr());
            bindings::rd_kafka_mock_set_apiversion(cluster, CONSUMER_GROUP_HEARTBEAT, -1, -1);
        }
    }

    /// The address for clients: `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// When it exists, has no name, or not from 1 to 10 000 partitions.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        let what = || format!("cannot create the topic {topic:?} with {partitions} partitions");
        if topic.is_empty() || topic.len() > 249 || !(1..=10_000).contains(&partitions) {
            return Err(Error::client(
                what(),
                "write a name of 1 to 249 characters and 1 to 10000 partitions",
            ));
        }
        let cluster = self
            .owner
            .client()
            .mock_cluster()
            .ok_or_else(|| Error::client(what(), "the embedded broker has stopped"))?;
        cluster.create_topic(topic, partitions, 1).map_err(|error| {
            Error::client(what(), format!("{error}; if it exists already, write another name"))
        })
    }
}
