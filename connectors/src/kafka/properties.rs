//! Which of librdkafka's properties Lockstep sets itself, and whether librdkafka takes the others: one list and one judge for `check`
//! and `run` alike.

use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;

use lockstep_engine::pipeline::{Guarantee, KafkaSpec};

use super::config::{self, ReadAhead};
use super::transactions::TransactionalId;

/// Which client a property is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The consumer.
    Consumer,
    /// The producer.
    Producer,
    /// Both.
    Both,
}

/// Properties of the consumer that the guarantees rest on, with the reason.
const CONSUMER_FIXED: &[(&str, &str)] = &[
    ("enable.auto.commit", "a position is committed only when all before it have ended"),
    ("enable.auto.offset.store", "a position is committed only when all before it have ended"),
    ("auto.offset.reset", "lost records must be noticed; say where a new group begins with kafka.start"),
    ("auto.commit.interval.ms", "Lockstep commits by itself; see limits.commit_every"),
    ("isolation.level", "records of aborted transactions must not be read"),
    ("partition.assignment.strategy", "all inputs of a stream must meet in one process, which takes range"),
    ("group.protocol", "write kafka.group_protocol"),
    ("group.remote.assignor", "all inputs of a stream must meet in one process, which takes range"),
    ("group.id", "the group is named by kafka.group"),
    ("enable.partition.eof", "the end of a partition is not an event here"),
    ("queued.max.messages.kbytes", "prefetched bytes are part of the memory limit; see limits.memory"),
    ("queued.min.messages", "prefetched records are part of the memory limit; see limits.memory"),
];

/// Properties of the producer that the guarantees rest on, with the reason.
const PRODUCER_FIXED: &[(&str, &str)] = &[
    ("acks", "a result counts only when all in-sync replicas have it"),
    ("request.required.acks", "a result counts only when all in-sync replicas have it"),
    ("enable.idempotence", "a retry must not duplicate or reorder records"),
    ("enable.gapless.guarantee", "one record that fails must not take the others with it"),
    ("partitioner", "keys must go to the same partitions as the Java clients send them to"),
    ("transactional.id", "whether results are published in transactions is for delivery.guarantee to say"),
];

/// Properties of any client that have a place of their own.
const FIXED: &[(&str, &str)] = &[
    ("bootstrap.servers", "the brokers are named by kafka.brokers"),
    ("metadata.broker.list", "the brokers are named by kafka.brokers"),
    ("client.software.name", "it names Lockstep"),
    ("statistics.interval.ms", "lag and health are read from statistics once a second"),
];

/// Why a property is not the user's to set, and what to write instead; none if it is.
pub fn set_by_lockstep(client: Client, name: &str) -> Option<&'static str> {
    let of_consumer = CONSUMER_FIXED.iter().filter(|_| client != Client::Producer);
    let of_producer = PRODUCER_FIXED.iter().filter(|_| client != Client::Consumer);
    let mut all = FIXED.iter().chain(of_consumer).chain(of_producer);
    all.find(|(fixed, _)| *fixed == name).map(|(_, why)| *why)
}

/// Why librdkafka refuses a property alone: it does not know the name, or not the value, which is not shown.
pub fn refused(name: &str, value: &str) -> Option<String> {
    let error = ClientConfig::new().set(name, value).create_native_config().err()?;
    Some(match error {
        KafkaError::ClientConfig(_, description, _, _) => {
            let description = if value.is_empty() { description } else { description.replace(value, "…") };
            format!("is refused by librdkafka: {description}")
        }
        other => format!("is refused by librdkafka: {other}"),
    })
}

/// Why librdkafka refuses the properties together: makes each client as a pipeline does, without brokers to connect to.
///
/// # Errors
/// What the first client says that cannot be made.
pub fn try_clients(spec: &KafkaSpec, guarantee: Guarantee) -> Result<(), super::Error> {
    let read_ahead = ReadAhead { bytes: 1 << 20, partitions: 1 };
    let mut consumer = config::consumer(spec, false, read_ahead)?;
    consumer.remove("bootstrap.servers");
    let made = consumer.create::<BaseConsumer>();
    made.map_err(|error| config::not_made("consumer", &error))?;
    let mut producer = match guarantee {
        Guarantee::AtLeastOnce => config::producer(&spec.brokers, &spec.producer, 1 << 20)?,
        Guarantee::ExactlyOnce => config::transactional_producer(spec, &TransactionalId::new(spec), 1 << 20)?,
    };
    producer.remove("bootstrap.servers");
    let made = producer.create::<BaseProducer>();
    made.map_err(|error| config::not_made("producer", &error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_refused_for_the_client_that_needs_them() {
        assert!(set_by_lockstep(Client::Consumer, "isolation.level").is_some());
        assert!(set_by_lockstep(Client::Producer, "isolation.level").is_none());
        for name in ["isolation.level", "acks", "bootstrap.servers"] {
            assert!(set_by_lockstep(Client::Both, name).is_some(), "{name}");
        }
        assert!(set_by_lockstep(Client::Both, "ssl.ca.location").is_none());
    }

    #[test]
    fn librdkafka_judges_names_and_values_and_no_value_is_shown() {
        assert_eq!(refused("linger.ms", "5"), None);
        let unknown = refused("lingr.ms", "5").expect("there is none of that name");
        assert!(unknown.contains("No such configuration property"), "{unknown}");
        let wrong = refused("security.protocol", "hunter2").expect("no such protocol");
        assert!(!wrong.contains("hunter2"), "{wrong}");
    }
}
