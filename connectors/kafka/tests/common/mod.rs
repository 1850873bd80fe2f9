//! Helpers of the Kafka tests. The tests run over the embedded broker. Where possible they also run over a real one, named by
//! KAFKA_BOOTSTRAP_SERVERS.

#![allow(unreachable_pub, missing_docs, dead_code, reason = "each test file uses a part")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use lockstep_engine::condition::{Cause, Conditions, Work};
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::source::{SourceEvent, SourceSink};
use lockstep_engine::media::{Media, Modality};
use lockstep_engine::pipeline::{KafkaSpec, StartAt};
use lockstep_engine::position::{Commit, InputId, NextOffset, PartitionId};
use lockstep_engine::publish::sink::{Delivery, Ended, Ending, OnDelivery, OutRecord, Sink, Transactions};
use lockstep_engine::sample::{Header, Record};
use lockstep_kafka::admin::{self, TopicSpec};
use lockstep_kafka::embedded::EmbeddedBroker;
use lockstep_kafka::sink::KafkaSink;
use lockstep_kafka::source::{KafkaSource, SourceParts};
use lockstep_kafka::transactional_id::TransactionalId;
use lockstep_kafka::transactions::KafkaTransactions;

/// The limit for a busy machine. A test reaches it only if it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A commit of the first input, with its position as metadata.
pub fn commit(partition: i32, next: i64) -> Commit {
    Commit {
        partition: PartitionId { input: InputId(0), partition },
        next: NextOffset(next),
        metadata: format!("{partition}:{next}"),
    }
}

/// A broker, with names that no other test uses.
pub struct Broker {
    embedded: Option<EmbeddedBroker>,
    pub address: String,
    suffix: String,
}

impl Broker {
    /// The embedded broker, in any environment.
    pub fn embedded() -> Self {
        let broker = EmbeddedBroker::start(&[]).expect("the embedded broker starts");
        let address = broker.address().to_owned();
        Self { embedded: Some(broker), address, suffix: String::new() }
    }

    /// The broker in KAFKA_BOOTSTRAP_SERVERS, else the embedded one.
    pub fn any() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Ok(address) = std::env::var("KAFKA_BOOTSTRAP_SERVERS") else { return Self::embedded() };
        let now = lockstep_engine::time::Timestamp::now().as_nanos();
        let suffix = format!("-{now}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { embedded: None, address, suffix }
    }

    /// The embedded broker, limited to the classic group protocol.
    pub fn old() -> Self {
        let broker = Self::embedded();
        broker.embedded.iter().for_each(EmbeddedBroker::grow_old);
        broker
    }

    /// A group with the default settings, which uses the protocol that the brokers know.
    pub fn plain_spec(&self, group: &str) -> KafkaSpec {
        KafkaSpec { consumer: BTreeMap::new(), ..self.spec(group) }
    }

    pub fn topic(&self, name: &str, partitions: i32) -> String {
        let name = format!("{name}{}", self.suffix);
        match &self.embedded {
            Some(broker) => broker.create_topic(&name, partitions).expect("made"),
            None => {
                let spec =
                    TopicSpec { name: name.clone(), partitions, replication: None, is_compacted: false };
                let made = admin::create_topics(&self.address, &BTreeMap::new(), &[spec], PATIENCE);
                for made in made.expect("asked") {
                    made.expect("made");
                }
            }
        }
        name
    }

    pub fn spec(&self, group: &str) -> KafkaSpec {
        let quick = [("heartbeat.interval.ms", "100"), ("session.timeout.ms", "6000")];
        KafkaSpec {
            brokers: self.address.clone(),
            group: format!("{group}{}", self.suffix),
            start: StartAt::Earliest,
            group_protocol: Default::default(),
            consumer: quick.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            producer: BTreeMap::new(),
        }
    }
}

pub fn input(topic: &str) -> InputSpec {
    InputSpec {
        name: topic.into(),
        topic: topic.into(),
        modality: Modality::Binary,
        default_media: Media::Binary,
        max_bytes: 1 << 20,
        max_past: Duration::MAX,
        max_future: Duration::MAX,
        clock_offset: 0,
        same_time: Default::default(),
        drift: Default::default(),
        pictures: Default::default(),
        on_data_loss: Default::default(),
        shed: None,
    }
}

pub fn part(input: u16, partition: i32) -> PartitionId {
    PartitionId { input: InputId(input), partition }
}

/// A sink that forwards events, and refuses records while it is shut.
pub struct Gate {
    events: Sender<SourceEvent>,
    pub shut: Arc<AtomicBool>,
    pub refused: Arc<AtomicU64>,
}

impl SourceSink for Gate {
    fn offer(&mut self, event: SourceEvent) -> Result<(), SourceEvent> {
        if self.shut.load(Ordering::Acquire) && matches!(event, SourceEvent::Records { .. }) {
            self.refused.fetch_add(1, Ordering::AcqRel);
            return Err(event);
        }
        let _test_over = self.events.send(event);
        Ok(())
    }
}

/// A source, with its events and its reports.
pub struct Reader {
    pub source: Arc<KafkaSource>,
    pub events: Receiver<SourceEvent>,
    pub reports: Arc<Reports>,
    pub shut: Arc<AtomicBool>,
    pub refused: Arc<AtomicU64>,
}

impl Reader {
    pub fn start(spec: &KafkaSpec, topics: &[&str]) -> Self {
        let (sender, events) = crossbeam_channel::bounded(1 << 20);
        let (shut, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let gate = Gate { events: sender, shut: shut.clone(), refused: refused.clone() };
        let inputs: Vec<InputSpec> = topics.iter().map(|topic| input(topic)).collect();
        let reports = Arc::new(Reports::default());
        let parts = SourceParts {
            spec,
            inputs: &inputs,
            state: None,
            prefetch: 8 << 20,
            membership: Arc::default(),
            conditions: reports.clone(),
            reports_ends: false,
        };
        let source = KafkaSource::start(parts, Box::new(gate)).expect("starts");
        Self { source, events, reports, shut, refused }
    }

    /// Waits for an event that `want` takes. Drops the others, which acknowledges them.
    pub fn until<T>(&self, what: &str, mut want: impl FnMut(SourceEvent) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            let event =
                self.events.recv_deadline(until).unwrap_or_else(|_| panic!("waited in vain for {what}"));
            if let SourceEvent::Failed(why) = &event {
                panic!("the source failed while waiting for {what}: {why}");
            }
            if let Some(found) = want(event) {
                return found;
            }
        }
    }

    pub fn assigned(&self) -> Vec<(PartitionId, i64)> {
        self.until("an assignment", |event| match event {
            SourceEvent::Assigned(list) => {
                Some(list.into_iter().map(|it| (it.partition, it.start.0)).collect())
            }
            _ => None,
        })
    }

    pub fn records(&self, count: usize) -> Vec<Record> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.until("records", |event| match event {
                SourceEvent::Records { records, .. } => Some(records),
                _ => None,
            }));
        }
        all
    }
}

/// A sink that remembers its deliveries.
pub struct Writer {
    pub sink: KafkaSink,
    pub deliveries: Arc<Mutex<Vec<Delivery>>>,
    transactions: Option<KafkaTransactions>,
    next: u64,
}

impl Writer {
    pub fn start(spec: &KafkaSpec) -> Self {
        Self::of(|tell| (KafkaSink::start(spec, 64 << 20, tell).expect("starts"), None))
    }

    /// A writer that sends in transactions, the first of which has begun.
    pub fn transactional(spec: &KafkaSpec, id: &TransactionalId) -> Self {
        let mut writer = Self::of(|tell| {
            let (membership, conditions) = (Arc::default(), Arc::new(Reports::default()));
            let made = KafkaSink::start_transactional(spec, id, &[], 8 << 20, membership, conditions, tell);
            let (sink, transactions) = made.expect("starts");
            (sink, Some(transactions))
        });
        assert_eq!(writer.end(Ending::None), Ended::AsAsked);
        writer
    }

    fn of(start: impl FnOnce(OnDelivery) -> (KafkaSink, Option<KafkaTransactions>)) -> Self {
        let deliveries = Arc::new(Mutex::new(Vec::new()));
        let kept = deliveries.clone();
        let (sink, transactions) = start(Arc::new(move |delivery| kept.lock().unwrap().push(delivery)));
        Self { sink, deliveries, transactions, next: 0 }
    }

    /// Ends the open transaction, and begins the next.
    pub fn end(&mut self, how: Ending) -> Ended {
        let (sender, outcome) = sync_channel(1);
        let transactions = self.transactions.as_mut().expect("it has transactions");
        transactions.end(how, Box::new(move |ended| sender.send(ended).expect("the test waits")));
        outcome.recv_timeout(PATIENCE).expect("an outcome")
    }

    pub fn send(&mut self, topic: &str, key: &str, payload: impl Into<Bytes>, headers: &[(&str, &str)]) {
        let record = OutRecord {
            topic: topic.into(),
            partition: None,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            payload: payload.into(),
            headers: headers
                .iter()
                .map(|(n, v)| Header::new(n.to_string(), Bytes::copy_from_slice(v.as_bytes())))
                .collect(),
            timestamp: None,
        };
        let token = self.next;
        self.next += 1;
        while self.sink.send(&record, token).is_err() {
            self.sink.flush(PATIENCE).expect("room");
        }
    }

    pub fn flush(&mut self) {
        self.sink.flush(PATIENCE).expect("all deliveries");
    }
}

/// Conditions that keep all reports.
#[derive(Default)]
pub struct Reports(Mutex<Vec<(Work, String, Option<Cause>)>>);

impl Reports {
    /// The last reported cause, if no work succeeded since.
    pub fn of(&self, work: Work) -> Option<Cause> {
        let reports = self.0.lock().unwrap();
        reports.iter().rev().find(|report| report.0 == work).and_then(|report| report.2.clone())
    }
}

impl Conditions for Reports {
    fn report(&self, work: Work, on: &str, cause: Cause) {
        self.0.lock().unwrap().push((work, on.to_owned(), Some(cause)));
    }

    fn done(&self, work: Work, on: &str) {
        self.0.lock().unwrap().push((work, on.to_owned(), None));
    }
}
