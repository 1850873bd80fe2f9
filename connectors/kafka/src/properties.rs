//! The librdkafka properties that Lockstep sets or forbids, with the reasons: one list for `check` and `run`.

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;

/// The client that a property is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The consumer.
    Consumer,
    /// The producer.
    Producer,
    /// Both.
    Both,
}

/// A property that the user may not set.
struct Fixed {
    client: Client,
    name: &'static str,
    /// The value that Lockstep sets. None if it is computed, or if the property is forbidden.
    value: Option<&'static str>,
    why: &'static str,
}

const fn set(client: Client, name: &'static str, value: &'static str, why: &'static str) -> Fixed {
    Fixed { client, name, value: Some(value), why }
}

const fn no(client: Client, name: &'static str, why: &'static str) -> Fixed {
    Fixed { client, name, value: None, why }
}

const OFFSETS: &str = "an offset is committed only when all before it have ended";
const RANGE: &str = "all inputs of a stream must meet in one process, which takes range";
const ACKS: &str = "a result counts only when all in-sync replicas have it";
const BROKERS: &str = "the brokers are named by kafka.brokers";

const FIXED: &[Fixed] = &[
    no(Client::Both, "bootstrap.servers", BROKERS),
    no(Client::Both, "metadata.broker.list", BROKERS),
    no(Client::Both, "client.software.name", "it names Lockstep"),
    set(
        Client::Both,
        "statistics.interval.ms",
        "1000",
        "lag and health are read from statistics once a second",
    ),
    set(Client::Consumer, "enable.auto.commit", "false", OFFSETS),
    set(Client::Consumer, "enable.auto.offset.store", "false", OFFSETS),
    set(
        Client::Consumer,
        "auto.offset.reset",
        "error",
        "lost records must be noticed; say where a new group begins with kafka.start",
    ),
    no(Client::Consumer, "auto.commit.interval.ms", "Lockstep commits by itself; see limits.commit_every"),
    set(
        Client::Consumer,
        "isolation.level",
        "read_committed",
        "records of aborted transactions must not be read",
    ),
    no(Client::Consumer, "partition.assignment.strategy", RANGE),
    no(Client::Consumer, "group.protocol", "write kafka.group_protocol"),
    no(Client::Consumer, "group.remote.assignor", RANGE),
    no(Client::Consumer, "group.id", "the group is named by kafka.group"),
    set(Client::Consumer, "enable.partition.eof", "false", "the end of a partition is not an event here"),
    no(
        Client::Consumer,
        "queued.max.messages.kbytes",
        "prefetched bytes are part of the memory limit; see limits.memory",
    ),
    set(
        Client::Consumer,
        "queued.min.messages",
        "10000",
        "prefetched records are part of the memory limit; see limits.memory",
    ),
    set(Client::Producer, "acks", "all", ACKS),
    no(Client::Producer, "request.required.acks", ACKS),
    set(Client::Producer, "enable.idempotence", "true", "a retry must not duplicate or reorder records"),
    no(
        Client::Producer,
        "enable.gapless.guarantee",
        "one record that fails must not take the others with it",
    ),
    set(
        Client::Producer,
        "partitioner",
        "murmur2_random",
        "keys must go to the same partitions as the Java clients send them to",
    ),
    no(
        Client::Producer,
        "transactional.id",
        "delivery.guarantee says whether results are published in transactions",
    ),
];

impl Fixed {
    fn is_for(&self, client: Client) -> bool {
        self.client == Client::Both || client == Client::Both || self.client == client
    }
}

/// The reason why a property is not the user's to set, and the key to write instead; none if the user may set it.
pub fn set_by_lockstep(client: Client, name: &str) -> Option<&'static str> {
    FIXED.iter().find(|fixed| fixed.name == name && fixed.is_for(client)).map(|fixed| fixed.why)
}

/// The properties whose value is the same in each pipeline, for `config`.
pub(super) fn fixed_values(client: Client) -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_client = FIXED.iter().filter(move |fixed| fixed.is_for(client));
    of_client.filter_map(|fixed| Some((fixed.name, fixed.value?)))
}

/// The reason why librdkafka refuses a property on its own: an unknown name, or a wrong value. The text leaves the value out, as it
/// may be a secret.
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
    fn librdkafka_judges_names_and_values_and_hides_values() {
        assert_eq!(refused("linger.ms", "5"), None);
        let unknown = refused("lingr.ms", "5").expect("there is none of that name");
        assert!(unknown.contains("No such configuration property"), "{unknown}");
        let wrong = refused("security.protocol", "hunter2").expect("no such protocol");
        assert!(!wrong.contains("hunter2"), "{wrong}");
    }
}
