//! A loop that only consumes and produces, with librdkafka alone and the client settings of the engine. Benchmarks compare the engine
//! with it.

#![allow(clippy::disallowed_methods, reason = "it measures: it reads the clock itself")]

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lockstep_engine::pipeline::KafkaSpec;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::config::{self, ReadAhead};
use super::{Error, client_log};

/// The time without a record or an acknowledgement after which the loop fails.
const PATIENCE: Duration = Duration::from_secs(15);
/// The number of records between two looks at deliveries.
const SERVE_EVERY: u64 = 128;

/// A loop over all records of a topic.
#[derive(Clone, Debug)]
pub struct ClientBaseline {
    /// The brokers and the user's properties.
    pub spec: KafkaSpec,
    /// The topic to read.
    pub input: String,
    /// The topic to write one record to for each record read, under the same key.
    pub output: String,
    /// The number of partitions of `input`.
    pub partitions: i32,
    /// The number of records in `input`.
    pub records: u64,
    /// The shape of the produced records.
    pub shape: RecordShape,
    /// The read-ahead of the client, in bytes over all partitions.
    pub read_ahead: usize,
    /// The most bytes that are queued or in flight.
    pub send_queue: usize,
}

/// The shape of records, without their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordShape {
    /// The size of the value, in bytes.
    pub value: usize,
    /// The names of the headers and the sizes of their values, in bytes.
    pub headers: Vec<(String, usize)>,
}

#[derive(Default)]
struct DeliveryCount {
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

impl ClientContext for DeliveryCount {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "error of the baseline client");
    }
}

impl ConsumerContext for DeliveryCount {}

impl ProducerContext for DeliveryCount {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let count = if result.is_ok() { &self.acknowledged } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads every record and produces one for it, on the calling thread. Returns the seconds from the first
/// record that a poll returned to the last acknowledgement.
///
/// # Errors
/// If librdkafka fails, or records or acknowledgements do not come.
pub fn consume_and_produce(bare: &ClientBaseline) -> Result<f64, Error> {
    let consumer = reader(&bare.spec, &bare.input, bare.partitions, bare.read_ahead)?;
    let producer: BaseProducer<DeliveryCount> =
        config::producer(&bare.spec.brokers, &bare.spec.producer, bare.send_queue)?
            .create_with_context(DeliveryCount::default())
            .map_err(|error| config::not_made("producer", &error))?;
    let value = vec![b'x'; bare.shape.value];
    let (since, read) = (Cell::new(None), Cell::new(0));
    read_all(&consumer, &bare.input, bare.records, |message| {
        since.set(Some(since.get().unwrap_or_else(Instant::now)));
        let mut out: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&bare.output).payload(&value);
        out.key = message.key();
        if !bare.shape.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(bare.shape.headers.len());
            out = out.headers(bare.shape.headers.iter().fold(headers, |headers, (key, size)| {
                headers.insert(Header { key, value: value.get(..*size) })
            }));
        }
        send(&producer, out)?;
        read.set(read.get() + 1);
        if read.get() % SERVE_EVERY == 0 {
            producer.poll(Duration::ZERO);
        }
        Ok(())
    })?;
    finish(&producer, bare.records)?;
    Ok(since.get().map_or(0.0, |since| since.elapsed().as_secs_f64()))
}

/// Fills each partition of a topic with records of one value, one stream a partition. Their event times (the records' own
/// timestamps) ascend by a millisecond and end now.
///
/// # Errors
/// If librdkafka fails.
pub fn fill(
    brokers: &str,
    topic: &str,
    partitions: i32,
    records_each: u64,
    value: &[u8],
) -> Result<(), Error> {
    let mut settings = config::producer(brokers, &std::collections::BTreeMap::new(), 64 << 20)?;
    settings.set("linger.ms", "100");
    let producer: BaseProducer<DeliveryCount> = settings
        .create_with_context(DeliveryCount::default())
        .map_err(|error| config::not_made("producer", &error))?;
    let now = lockstep_engine::time::Timestamp::wall().as_millis();
    let keys: Vec<String> = (0..partitions).map(|partition| format!("stream-{partition}")).collect();
    for number in 0..records_each {
        let timestamp = now - i64::try_from(records_each - number).unwrap_or(0);
        for (partition, key) in (0..).zip(&keys) {
            let out: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic)
                .partition(partition)
                .key(key.as_str())
                .payload(value)
                .timestamp(timestamp);
            send(&producer, out)?;
        }
        producer.poll(Duration::ZERO);
    }
    finish(&producer, records_each * keys.len() as u64)
}

/// Measures the shape of the records of a topic: the mean size of the first `records` values, and the headers of the last of them.
///
/// # Errors
/// If librdkafka fails, or fewer records come.
pub fn shape(spec: &KafkaSpec, topic: &str, partitions: i32, records: u64) -> Result<RecordShape, Error> {
    let consumer = reader(spec, topic, partitions, 1 << 20)?;
    let (bytes, named) = (Cell::new(0_u64), RefCell::new(Vec::new()));
    read_all(&consumer, topic, records, |message| {
        bytes.set(bytes.get() + message.payload_len() as u64);
        named.replace(message.headers().map_or_else(Vec::new, |headers| {
            let size =
                |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map_or(0, <[u8]>::len));
            headers.iter().map(size).collect()
        }));
        Ok(())
    })?;
    let value = usize::try_from(bytes.get() / records.max(1)).unwrap_or(usize::MAX);
    Ok(RecordShape { value, headers: named.into_inner() })
}

/// Makes a consumer of all partitions from their beginnings, without a group. All partitions share one queue. Its bounds are the sum
/// of those of the engine, which has a queue for each partition.
fn reader(
    spec: &KafkaSpec,
    topic: &str,
    partitions: i32,
    read_ahead: usize,
) -> Result<BaseConsumer<DeliveryCount>, Error> {
    let mut settings = config::consumer(spec, false, ReadAhead { bytes: read_ahead, partitions: 1 })?;
    settings
        .set("queued.max.messages.kbytes", (read_ahead >> 10).max(1024).to_string())
        .set("queued.min.messages", "1000000");
    let consumer: BaseConsumer<DeliveryCount> = settings
        .create_with_context(DeliveryCount::default())
        .map_err(|error| config::not_made("consumer", &error))?;
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, partition, Offset::Beginning)
            .map_err(|error| Error::client(format!("cannot read {topic}"), error))?;
    }
    consumer.assign(&all).map_err(|error| Error::client(format!("cannot read {topic}"), error))?;
    Ok(consumer)
}

fn read_all(
    consumer: &BaseConsumer<DeliveryCount>,
    topic: &str,
    records: u64,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    for read in 0..records {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => each(&message)?,
            Some(Err(error)) => return Err(Error::client(format!("reading {topic}"), error)),
            None => {
                let why =
                    format!("{read} of {records} records came, and no more within {} s", PATIENCE.as_secs());
                return Err(Error::client(format!("reading {topic}"), why));
            }
        }
    }
    Ok(())
}

fn send<K: rdkafka::message::ToBytes + ?Sized>(
    producer: &BaseProducer<DeliveryCount>,
    mut out: BaseRecord<'_, K, [u8]>,
) -> Result<(), Error> {
    let until = Instant::now() + PATIENCE;
    while let Err((error, back)) = producer.send(out) {
        let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
        if !full || Instant::now() > until {
            return Err(Error::client("producing a record", error));
        }
        producer.poll(Duration::from_millis(10));
        out = back;
    }
    Ok(())
}

/// Waits for all acknowledgements.
fn finish(producer: &BaseProducer<DeliveryCount>, records: u64) -> Result<(), Error> {
    producer.flush(PATIENCE).map_err(|error| Error::client("waiting for acknowledgements", error))?;
    let count = producer.context();
    let acknowledged = count.acknowledged.load(Ordering::Relaxed);
    if acknowledged == records {
        return Ok(());
    }
    let failed = count.failed.load(Ordering::Relaxed);
    let why = format!("{acknowledged} of {records} records were acknowledged, {failed} failed");
    Err(Error::client("waiting for acknowledgements", why))
}
