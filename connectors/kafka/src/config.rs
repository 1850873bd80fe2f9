//! The librdkafka settings of each client: Lockstep's defaults, the user's properties, and the fixed ones.

use std::collections::BTreeMap;

use lockstep_engine::pipeline::KafkaSpec;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

use super::Error;
use super::properties::{Client, fixed_values, set_by_lockstep};
use super::transactional_id::{TRANSACTION_TIMEOUT, TransactionalId};

/// The settings of any client.
pub(super) fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", "lockstep")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "5000");
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// The settings of a client that only asks: of the user's properties, those about the connection.
pub(super) fn connecting(brokers: &str, properties: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = client(brokers);
    for (key, value) in properties.iter().filter(|(key, _)| is_of_any_client(key)) {
        config.set(key, value);
    }
    config
}

/// Returns true if a property is about the connection, and so of use to any client.
fn is_of_any_client(key: &str) -> bool {
    [
        "security.",
        "ssl.",
        "sasl.",
        "enable.ssl",
        "enable.sasl",
        "socket.",
        "broker.",
        "api.",
        "client.dns",
        "https.",
    ]
    .iter()
    .any(|prefix| key.starts_with(prefix))
}

/// The time in milliseconds after which an unanswered request counts as failed, as with Kafka's own clients. It bounds the time
/// for which an unanswered commit delays the next owner of its partitions. librdkafka's default is twice that.
const ANSWERED_WITHIN: &str = "30000";

/// The interval in milliseconds at which the consumer asks about its topics. It must see partitions that are added to one input
/// alone before bundles go out without it. librdkafka's default is five minutes.
const LOOK_AT_TOPICS: &str = "500";

/// The most that a fetch brings of one partition, in bytes. Brokers keep records in the batches that producers sent, a megabyte
/// at most by default. Apache Kafka leaves out a batch that does not fit. With less, each fetch would bring one batch of one
/// partition, however many partitions there are.
const FETCH: usize = 1 << 20;

/// The most that a fetch brings of all partitions, in bytes. The pipeline has nothing to do while a fetch is on its way. With
/// librdkafka's 50 MB, a pipeline reads large records three times as slowly from Apache Kafka.
const FETCH_IN_ALL: usize = 8 << 20;

/// The divisor of the read-ahead: a fetch brings at most that part of it.
const FETCHES: usize = 4;

/// The share of a partition, in bytes, below which only half is used. librdkafka counts values alone, and holds a fetch whole
/// until the last of its records is taken. With 256 KiB for each of 32 partitions it took 24 MiB for 8 MiB of values, and with
/// half of that, 5 MiB. In a larger share a batch of large records fits, or nearly so, and the full share is worth more.
const SCARCE: usize = 512 << 10;

/// The least that librdkafka holds of a partition, and fetches of it, in bytes.
const LEAST: usize = 64 << 10;

/// Properties that ask for the classic group protocol. Only the classic one knows the first three: with KIP-848 the brokers set
/// them. Both know `group.instance.id`, but with KIP-848 a static member that died gets its place back only when its session ends.
const CLASSIC_ONLY: &[&str] =
    &["session.timeout.ms", "heartbeat.interval.ms", "group.protocol.type", "group.instance.id"];

/// Returns true if the user has set a property that asks for the classic group protocol.
pub(super) fn is_classic(spec: &KafkaSpec) -> bool {
    CLASSIC_ONLY.iter().any(|name| spec.consumer.contains_key(*name))
}

/// The records that librdkafka may read ahead.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadAhead {
    /// In bytes, over all partitions.
    pub(super) bytes: usize,
    /// The number of partitions.
    pub(super) partitions: usize,
}

impl ReadAhead {
    /// The sizes of fetches. A small share makes the fetch small: a megabyte for each of many partitions would be several times the
    /// whole read-ahead.
    fn sizes(self) -> FetchSizes {
        let share = self.bytes / self.partitions.max(1);
        let share = if share < SCARCE { share / 2 } else { share };
        let fetch = share.saturating_sub(LEAST).clamp(LEAST, FETCH);
        let held = share.saturating_sub(fetch).clamp(LEAST, 64 << 20);
        FetchSizes { of_partition: fetch, in_all: (self.bytes / FETCHES).clamp(FETCH, FETCH_IN_ALL), held }
    }
}

/// The sizes of a consumer's fetches, in bytes.
struct FetchSizes {
    /// The most that a fetch brings of one partition.
    of_partition: usize,
    /// The most that a fetch brings of all partitions.
    in_all: usize,
    /// The bytes held of a partition below which the consumer fetches more.
    held: usize,
}

/// The settings of a consumer that joins its group, by the protocol of KIP-848 if `is_incremental`, else by the classic one.
pub(super) fn consumer(
    spec: &KafkaSpec,
    is_incremental: bool,
    read_ahead: ReadAhead,
) -> Result<ClientConfig, Error> {
    let sizes = read_ahead.sizes();
    let mut config = client(&spec.brokers);
    config.set("fetch.wait.max.ms", "100").set("fetch.error.backoff.ms", "100");
    // The pause before librdkafka looks at a full partition again. Its default, a second, is longer than a buffer lasts.
    config.set("fetch.queue.backoff.ms", "2").set("fetch.max.bytes", sizes.in_all.to_string());
    config
        .set("max.partition.fetch.bytes", sizes.of_partition.to_string())
        .set("socket.timeout.ms", ANSWERED_WITHIN);
    config.set("topic.metadata.refresh.interval.ms", LOOK_AT_TOPICS);
    apply(&mut config, "kafka.consumer", Client::Consumer, &spec.consumer)?;
    set_fixed(&mut config, Client::Consumer);
    config.set("group.id", &spec.group).set("queued.max.messages.kbytes", (sizes.held / 1000).to_string());
    if is_incremental {
        config.set("group.protocol", "consumer").set("group.remote.assignor", "range");
        // Only this log says that the coordinator does not know the protocol: librdkafka itself retries for ever.
        let debug = config.get("debug").map_or_else(|| "cgrp".to_owned(), |own| format!("{own},cgrp"));
        config.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
    } else {
        config.set("partition.assignment.strategy", "range");
    }
    Ok(config)
}

/// The settings of a producer. `queue` bounds the records that are queued or in flight, in bytes.
pub(super) fn producer(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    queue: usize,
) -> Result<ClientConfig, Error> {
    let mut config = client(brokers);
    let queue = queue.max(1 << 20);
    config
        .set("linger.ms", "5")
        .set("queue.buffering.max.kbytes", (queue >> 10).to_string())
        // The broker decides how large a record may be: librdkafka's default is 1 MB, less than many images. Never more than the
        // queue, which could never take such a record.
        .set("message.max.bytes", queue.min(64 << 20).to_string())
        // Unlimited, because the bytes bound the queue.
        .set("queue.buffering.max.messages", "0");
    apply(&mut config, "kafka.producer", Client::Producer, properties)?;
    set_fixed(&mut config, Client::Producer);
    Ok(config)
}

/// The settings of a producer of transactions.
pub(super) fn transactional_producer(
    spec: &KafkaSpec,
    id: &TransactionalId,
    queue: usize,
) -> Result<ClientConfig, Error> {
    let mut properties = spec.producer.clone();
    let timeout = || TRANSACTION_TIMEOUT.as_millis().to_string();
    properties.entry("transaction.timeout.ms".into()).or_insert_with(timeout);
    // After all brokers were away, librdkafka 2.16.0 forgets the brokers that it knew ("rebootstrap"). It keeps the group's
    // coordinator among them in its cache (`rk_coord_cache` in its rdkafka_coord.c). It never connects to that one again, so
    // positions wait without end.
    properties.entry("metadata.recovery.strategy".into()).or_insert_with(|| "none".to_owned());
    let mut config = producer(&spec.brokers, &properties, queue)?;
    config.set("transactional.id", id.now());
    Ok(config)
}

fn set_fixed(config: &mut ClientConfig, client: Client) {
    for (name, value) in fixed_values(client) {
        config.set(name, value);
    }
}

fn apply(
    config: &mut ClientConfig,
    place: &str,
    client: Client,
    properties: &BTreeMap<String, String>,
) -> Result<(), Error> {
    for (key, value) in properties {
        if let Some(why) = set_by_lockstep(client, key) {
            let why = format!("this property cannot be set: {why}; remove the line");
            return Err(Error::Property { place: format!("{place}.{key:?}"), why });
        }
        config.set(key, value);
    }
    Ok(())
}

/// The error for a client that could not be made. Its text leaves the value out, as it may be a secret.
pub(super) fn not_made(what: &str, error: &KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, description, key, value) => Error::Property {
            place: format!("librdkafka's property {key:?}"),
            why: if value.is_empty() { description.clone() } else { description.replace(value, "…") },
        },
        // librdkafka quotes no value here, but may name a file or a property.
        other => Error::client(format!("cannot make a Kafka {what}"), other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_engine::pipeline::StartAt;

    const READ_AHEAD: ReadAhead = ReadAhead { bytes: 1 << 20, partitions: 1 };

    fn spec(consumer: &[(&str, &str)]) -> KafkaSpec {
        KafkaSpec {
            brokers: "localhost:9092".into(),
            group: "g".into(),
            start: StartAt::Earliest,
            group_protocol: Default::default(),
            consumer: consumer.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            producer: BTreeMap::new(),
        }
    }

    #[test]
    fn config_refuses_properties_that_the_guarantees_need() {
        for key in ["enable.auto.commit", "auto.offset.reset", "bootstrap.servers", "isolation.level"] {
            let error = consumer(&spec(&[(key, "x")]), false, READ_AHEAD).expect_err(key).to_string();
            assert!(error.contains(key) && error.contains("remove the line"), "{error}");
        }
        let transactional = BTreeMap::from([("transactional.id".into(), "x".into())]);
        assert!(producer("localhost:9092", &transactional, 1 << 20).is_err());
    }

    #[test]
    fn config_lets_other_properties_override_defaults() {
        let config = consumer(&spec(&[("fetch.wait.max.ms", "7")]), false, READ_AHEAD).expect("allowed");
        assert_eq!(config.get("fetch.wait.max.ms"), Some("7"));
    }

    #[test]
    fn partition_holds_and_fetches_no_more_than_its_share() {
        for share in [0, 100 << 10, 256 << 10, 1 << 20, 3 << 20, 1 << 30] {
            for partitions in [1, 32] {
                let bytes = share * partitions;
                let config = consumer(&spec(&[]), false, ReadAhead { bytes, partitions }).expect("allowed");
                let of = |key| config.get(key).and_then(|value| value.parse::<usize>().ok()).expect(key);
                // librdkafka counts kilobytes of 1000 bytes here.
                let (fetch, held) =
                    (of("max.partition.fetch.bytes"), of("queued.max.messages.kbytes") * 1000);
                assert!(fetch + held <= share.max(2 * LEAST), "{fetch} and {held} of {share}");
                assert!(fetch >= LEAST && held > LEAST - 1000 && fetch <= FETCH);
                assert!(of("fetch.max.bytes") <= (bytes / 4).clamp(FETCH, 8 << 20));
            }
        }
    }

    #[test]
    fn config_overrides_no_property_that_the_user_may_set() {
        for is_incremental in [false, true] {
            let settings = consumer(&spec(&[]), is_incremental, READ_AHEAD).expect("allowed");
            for key in settings.config_map().keys().filter(|key| **key != "debug") {
                let Ok(own) = consumer(&spec(&[(key, "7")]), is_incremental, READ_AHEAD) else { continue };
                assert_eq!(own.get(key), Some("7"), "{key} is missing in the list of properties");
            }
        }
        let settings = producer("localhost:9092", &BTreeMap::new(), 1 << 20).expect("allowed");
        for key in settings.config_map().keys() {
            let own = BTreeMap::from([((*key).to_owned(), "7".to_owned())]);
            let Ok(own) = producer("localhost:9092", &own, 1 << 20) else { continue };
            assert_eq!(own.get(key), Some("7"), "{key} is missing in the list of properties");
        }
    }

    #[test]
    fn error_leaves_out_a_refused_value() {
        let mut config = client("localhost:9092");
        config.set("sasl.mechanism", "PLAIN").set("security.protocol", "hunter2");
        let error = config.create_native_config().map(|_| ()).expect_err("refused");
        let text = not_made("consumer", &error).to_string();
        assert!(text.contains("security.protocol") && !text.contains("hunter2"), "{text}");
    }
}
