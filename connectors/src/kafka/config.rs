//! librdkafka's properties: what Lockstep sets, what the user may set, and what its guarantees need.

use std::collections::BTreeMap;

use lockstep_engine::pipeline::KafkaSpec;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

use super::Error;
use super::properties::{Client, set_by_lockstep};
use super::transactions::{TRANSACTION_TIMEOUT, TransactionalId};

/// What any client is made with.
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

/// What a client is made with that does nothing but ask: of the user's properties those about the connection.
pub(super) fn connecting(brokers: &str, properties: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = client(brokers);
    for (key, value) in properties.iter().filter(|(key, _)| is_of_any_client(key)) {
        config.set(key, value);
    }
    config
}

/// Whether a property is about the connection, and so of use to any client.
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

/// How long a broker may take to answer before the request counts as failed, in milliseconds: as long as with Kafka's own
/// clients. It bounds for how long a commit that is never answered holds up those who want its partitions; librdkafka's
/// own limit is twice that.
const ANSWERED_WITHIN: &str = "30000";

/// How often the consumer asks about its topics, in milliseconds: partitions that are added to one input alone must be seen before
/// bundles go out without it. librdkafka's own interval is five minutes.
const LOOK_AT_TOPICS: &str = "500";

/// What a fetch brings of one partition at most, in bytes. Brokers keep records in the batches that producers sent, a megabyte
/// at most by default, and Apache Kafka leaves out what does not fit whole: with less, each fetch would bring one
/// batch of one partition, however many there are.
const FETCH: usize = 1 << 20;

/// What a fetch brings of all partitions at most, in bytes. While it is on its way there is nothing else to do: with
/// librdkafka's 50 MB, a pipeline reads large records three times as slowly from Apache Kafka.
const FETCH_IN_ALL: usize = 8 << 20;

/// By what of all that may be read ahead a fetch brings at most.
const FETCHES: usize = 4;

/// Of a share that is less, in bytes, only half is used: librdkafka counts values alone, and holds what a fetch brought whole
/// until the last of its records is taken. With 256 KiB for each of 32 partitions it took 24 MiB for 8 MiB of values, with half
/// of that 5. Where there is more, a batch of large records fits into a fetch or nearly so, and is worth more.
const SCARCE: usize = 512 << 10;

/// The least that is held of a partition and fetched of it, in bytes.
const LEAST: usize = 64 << 10;

/// Properties that only the classic group protocol knows: with the other, brokers say these things. And one that both
/// know: by the other a member with a name of its own that has died gets its place back only when its session is over.
const CLASSIC_ONLY: &[&str] =
    &["session.timeout.ms", "heartbeat.interval.ms", "group.protocol.type", "group.instance.id"];

/// Whether the user has set what asks for the classic group protocol.
pub(super) fn is_classic(spec: &KafkaSpec) -> bool {
    CLASSIC_ONLY.iter().any(|name| spec.consumer.contains_key(*name))
}

/// What librdkafka may read ahead of what is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadAhead {
    /// In bytes, over all partitions.
    pub(super) bytes: usize,
    /// How many there are.
    pub(super) partitions: usize,
}

impl ReadAhead {
    /// What a fetch brings of a partition and of all, and what is held of a partition when more is fetched, in bytes.
    /// Where a partition's share is small the fetch is: a megabyte for each of many partitions is several times as much as all
    /// of them may hold.
    fn sizes(self) -> (usize, usize, usize) {
        let share = self.bytes / self.partitions.max(1);
        let share = if share < SCARCE { share / 2 } else { share };
        let fetch = share.saturating_sub(LEAST).clamp(LEAST, FETCH);
        let held = share.saturating_sub(fetch).clamp(LEAST, 64 << 20);
        (fetch, (self.bytes / FETCHES).clamp(FETCH, FETCH_IN_ALL), held)
    }
}

/// What a consumer is made with that joins its group by the protocol of KIP-848 or by the classic one.
pub(super) fn consumer(
    spec: &KafkaSpec,
    is_incremental: bool,
    read_ahead: ReadAhead,
) -> Result<ClientConfig, Error> {
    let (fetch, fetch_in_all, held) = read_ahead.sizes();
    let mut config = client(&spec.brokers);
    config.set("fetch.wait.max.ms", "100").set("fetch.error.backoff.ms", "100");
    // A partition whose buffer is full is looked at again after this time: a second, librdkafka's default,
    // is longer than a buffer lasts.
    config.set("fetch.queue.backoff.ms", "2").set("fetch.max.bytes", fetch_in_all.to_string());
    config.set("max.partition.fetch.bytes", fetch.to_string()).set("socket.timeout.ms", ANSWERED_WITHIN);
    config.set("topic.metadata.refresh.interval.ms", LOOK_AT_TOPICS);
    apply(&mut config, ("kafka.consumer", Client::Consumer), &spec.consumer)?;
    config
        .set("group.id", &spec.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("statistics.interval.ms", "1000")
        .set("enable.partition.eof", "false")
        .set("queued.min.messages", "10000")
        .set("queued.max.messages.kbytes", (held / 1000).to_string());
    if is_incremental {
        config.set("group.protocol", "consumer").set("group.remote.assignor", "range");
        // That the coordinator does not know the protocol is said in this log alone: librdkafka asks for ever.
        let debug = config.get("debug").map_or_else(|| "cgrp".to_owned(), |asked| format!("{asked},cgrp"));
        config.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
    } else {
        config.set("partition.assignment.strategy", "range");
    }
    Ok(config)
}

/// What a producer is made with. `queue` bounds the records that wait or are under way, in bytes.
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
        // The largest record is the broker's to say: librdkafka's own limit would be 1 MB, less than many an
        // image. Never more than the queue, which would be full for such a record for ever.
        .set("message.max.bytes", queue.min(64 << 20).to_string())
        // Bytes bound them.
        .set("queue.buffering.max.messages", "0");
    apply(&mut config, ("kafka.producer", Client::Producer), properties)?;
    config.set("enable.idempotence", "true").set("acks", "all").set("partitioner", "murmur2_random");
    config.set("statistics.interval.ms", "1000");
    Ok(config)
}

/// What a producer of transactions is made with.
pub(super) fn transactional_producer(
    spec: &KafkaSpec,
    id: &TransactionalId,
    queue: usize,
) -> Result<ClientConfig, Error> {
    let mut properties = spec.producer.clone();
    let timeout = || TRANSACTION_TIMEOUT.as_millis().to_string();
    properties.entry("transaction.timeout.ms".into()).or_insert_with(timeout);
    // When all brokers have been away, librdkafka 2.16.0 forgets those that it knew ("rebootstrap") and keeps the group's coordinator
    // among them (`rk_coord_cache` in its rdkafka_coord.c): positions then wait without end for a connection that nobody makes.
    properties.entry("metadata.recovery.strategy".into()).or_insert_with(|| "none".to_owned());
    let mut config = producer(&spec.brokers, &properties, queue)?;
    config.set("transactional.id", id.now());
    Ok(config)
}

fn apply(
    config: &mut ClientConfig,
    (place, client): (&str, Client),
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

/// A client that could not be made, in words without the value, which may be a secret.
pub(super) fn not_made(what: &str, error: &KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, description, key, value) => Error::Property {
            place: format!("librdkafka's property {key:?}"),
            why: if value.is_empty() { description.clone() } else { description.replace(value, "…") },
        },
        // librdkafka quotes no values here, but it may name a file or a property.
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
    fn what_the_guarantees_need_cannot_be_overridden() {
        for key in ["enable.auto.commit", "auto.offset.reset", "bootstrap.servers", "isolation.level"] {
            let error = consumer(&spec(&[(key, "x")]), false, READ_AHEAD).expect_err(key).to_string();
            assert!(error.contains(key) && error.contains("remove the line"), "{error}");
        }
        let transactional = BTreeMap::from([("transactional.id".into(), "x".into())]);
        assert!(producer("localhost:9092", &transactional, 1 << 20).is_err());
    }

    #[test]
    fn other_properties_override_the_defaults() {
        let config = consumer(&spec(&[("fetch.wait.max.ms", "7")]), false, READ_AHEAD).expect("allowed");
        assert_eq!(config.get("fetch.wait.max.ms"), Some("7"));
    }

    #[test]
    fn what_a_partition_holds_and_fetches_is_within_its_share_and_a_fetch_is_little_of_all() {
        for share in [0, 100 << 10, 256 << 10, 1 << 20, 3 << 20, 1 << 30] {
            for partitions in [1, 32] {
                let bytes = share * partitions;
                let config = consumer(&spec(&[]), false, ReadAhead { bytes, partitions }).expect("allowed");
                let of = |key| config.get(key).and_then(|value| value.parse::<usize>().ok()).expect(key);
                // librdkafka's kilobytes of what is held have 1000 bytes.
                let (fetch, held) =
                    (of("max.partition.fetch.bytes"), of("queued.max.messages.kbytes") * 1000);
                assert!(fetch + held <= share.max(2 * LEAST), "{fetch} and {held} of {share}");
                assert!(fetch >= LEAST && held > LEAST - 1000 && fetch <= FETCH);
                assert!(of("fetch.max.bytes") <= (bytes / 4).clamp(FETCH, 8 << 20));
            }
        }
    }

    #[test]
    fn a_refused_value_is_not_repeated_in_the_error() {
        let mut config = client("localhost:9092");
        config.set("sasl.mechanism", "PLAIN").set("security.protocol", "hunter2");
        let error = config.create_native_config().map(|_| ()).expect_err("refused");
        let told = not_made("consumer", &error).to_string();
        assert!(told.contains("security.protocol") && !told.contains("hunter2"), "{told}");
    }
}
