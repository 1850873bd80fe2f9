//! The brokers under test, and a plain client of them.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lockstep_engine::pipeline::{KafkaSpec, StartAt};
use lockstep_engine::publish::sink::{OutRecord, Sink};
use lockstep_engine::sample::Header;
use lockstep_engine::time::Timestamp;
use lockstep_kafka::embedded::EmbeddedBroker;
use lockstep_kafka::sink::KafkaSink;
use lockstep_kafka::tail::{From, Tail, TailRecord};

use crate::process::{Lockstep, PATIENCE};

/// A broker.
pub(crate) struct Broker {
    pub(crate) embedded: Option<EmbeddedBroker>,
    pub(crate) address: String,
}

impl Broker {
    /// The embedded one, in this process.
    pub(crate) fn embedded() -> Self {
        let broker = EmbeddedBroker::start(&[]).expect("the embedded broker starts");
        let address = broker.address().to_owned();
        Self { embedded: Some(broker), address }
    }

    /// The one that `KAFKA_BOOTSTRAP_SERVERS` names. Without one the test has not run, and that is said.
    pub(crate) fn apache_kafka() -> Option<Self> {
        static SAY: Once = Once::new();
        if let Ok(address) = std::env::var("KAFKA_BOOTSTRAP_SERVERS") {
            return Some(Self { embedded: None, address });
        }
        let required = std::env::var("LOCKSTEP_REQUIRE_KAFKA").is_ok_and(|value| value == "1");
        assert!(!required, "LOCKSTEP_REQUIRE_KAFKA=1, but KAFKA_BOOTSTRAP_SERVERS names no broker");
        SAY.call_once(|| {
            // Not through eprintln!, which the test harness keeps to itself.
            let _lost = writeln!(
                std::io::stderr(),
                "\nNOT RUN: the end-to-end suite over Apache Kafka. KAFKA_BOOTSTRAP_SERVERS is not set; \
                 `config/kafka/kafka run -- cargo test` sets it.\n"
            );
        });
        None
    }

    /// Produces records; [`Producer::finish`] sees that they have arrived.
    pub(crate) fn producer(&self) -> Producer {
        let spec = KafkaSpec {
            brokers: self.address.clone(),
            group: String::new(),
            start: StartAt::Earliest,
            group_protocol: Default::default(),
            consumer: BTreeMap::new(),
            producer: BTreeMap::new(),
        };
        let failures = Arc::new(AtomicU64::new(0));
        let failed = failures.clone();
        let sink = KafkaSink::start(
            &spec,
            64 << 20,
            Arc::new(move |delivery| {
                failed.fetch_add(u64::from(delivery.outcome.is_err()), Ordering::AcqRel);
            }),
        );
        Producer { sink: sink.expect("a producer"), failures, sent: 0 }
    }

    /// Follows a topic from its beginning.
    pub(crate) fn follow(&self, topic: &str) -> Follower {
        let tail = Tail::open(&self.address, &BTreeMap::new(), topic, From::Beginning);
        Follower { tail: tail.expect("the topic can be followed"), topic: topic.into(), records: Vec::new() }
    }
}

/// Produces records.
pub(crate) struct Producer {
    sink: KafkaSink,
    failures: Arc<AtomicU64>,
    sent: u64,
}

impl Producer {
    /// Sends a record, at the producer's own pace.
    pub(crate) fn send(
        &mut self,
        topic: &str,
        key: Option<&str>,
        headers: &[(&str, String)],
        payload: impl Into<Bytes>,
    ) {
        self.send_to(topic, None, key, headers, payload);
    }

    /// Sends a record to a partition, or to the one that the Java client would choose.
    pub(crate) fn send_to(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&str>,
        headers: &[(&str, String)],
        payload: impl Into<Bytes>,
    ) {
        self.send_record((topic, partition), key, headers, payload.into(), Timestamp::now());
    }

    /// Sends a record with a timestamp, in milliseconds since the epoch.
    pub(crate) fn send_at(&mut self, topic: &str, key: Option<&str>, millis: i64, payload: impl Into<Bytes>) {
        self.send_record((topic, None), key, &[], payload.into(), Timestamp::from_millis(millis));
    }

    fn send_record(
        &mut self,
        (topic, partition): (&str, Option<i32>),
        key: Option<&str>,
        headers: &[(&str, String)],
        payload: Bytes,
        timestamp: Timestamp,
    ) {
        let record = OutRecord {
            topic: topic.into(),
            partition,
            key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            payload,
            headers: headers
                .iter()
                .map(|(name, value)| Header::new(name.to_string(), value.clone()))
                .collect(),
            timestamp: Some(timestamp),
        };
        let until = Instant::now() + PATIENCE;
        while self.sink.send(&record, self.sent).is_err() {
            let _less = self.sink.flush(Duration::from_millis(100));
            assert!(Instant::now() < until, "the broker takes no records");
        }
        self.sent += 1;
    }

    /// Waits until the broker has everything.
    pub(crate) fn finish(mut self) {
        assert_eq!(self.sink.flush(PATIENCE), Ok(()), "records are under way still");
        assert_eq!(self.failures.load(Ordering::Acquire), 0, "records were not delivered");
    }
}

/// The records of a topic as they come.
pub(crate) struct Follower {
    tail: Tail,
    topic: String,
    pub(crate) records: Vec<TailRecord>,
}

impl Follower {
    /// Reads on until there is enough. Panics when one of the processes ends or the time is up.
    pub(crate) fn until(&mut self, processes: &mut [&mut Lockstep], enough: impl Fn(&[TailRecord]) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !enough(&self.records) {
            let next = self.tail.next(Duration::from_millis(200)).expect("the topic can be read");
            self.records.extend(next);
            for process in &mut *processes {
                process.assert_alive();
            }
            let count = self.records.len();
            assert!(Instant::now() < until, "waited in vain: {count} records in {} so far", self.topic);
        }
    }

    /// Reads what there is, until nothing has come for a second.
    pub(crate) fn for_now(&mut self) {
        while let Some(record) = self.tail.next(Duration::from_secs(1)).expect("the topic can be read") {
            self.records.push(record);
        }
    }

    /// Reads until there is a number of records.
    pub(crate) fn count(&mut self, process: &mut Lockstep, count: usize) {
        self.until(&mut [process], |records| records.len() >= count);
    }

    /// All records read so far, as JSON.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        self.records.iter().map(|record| serde_json::from_slice(&record.value).expect("JSON")).collect()
    }
}

/// The text of a record's header.
pub(crate) fn header(record: &TailRecord, name: &str) -> String {
    let header = record.headers.iter().find(|header| &*header.name == name);
    let value =
        header.unwrap_or_else(|| panic!("no header {name} among {:?}", record.headers)).value.as_deref();
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}
