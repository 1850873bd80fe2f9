//! Produces records.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use lockstep_engine::pipeline::KafkaSpec;
use lockstep_engine::publish::sink::{Delivery, DeliveryError, OutRecord, Refusal, Sink};
use parking_lot::{Condvar, Mutex};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};

use super::{Error, config};

/// Takes deliveries, in batches of what has come together. Called on a thread of the sink's own; while
/// it does not return, no other deliveries are told.
pub type OnDelivery = Arc<dyn Fn(Vec<Delivery>) + Send + Sync>;

// A record's number travels through librdkafka in a pointer's place.
const _: () = assert!(usize::BITS == 64, "Lockstep needs a 64-bit machine");

/// The most deliveries told in one call.
const BATCH: usize = 1024;

struct Context {
    /// Never full for long: the deliveries in it are at most those of the records that librdkafka's own
    /// queue takes (`queue.buffering.max.messages`, 100 000), as each record has one.
    deliveries: Sender<Delivery>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::source::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the producer has trouble");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let outcome = result.as_ref().map(|_| ()).map_err(|(error, _)| delivery_error(error));
        let _ended = self.deliveries.send(Delivery { token: token as u64, outcome });
    }
}

fn delivery_error(error: &KafkaError) -> DeliveryError {
    let refusal = match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidTimestamp,
        ) => Refusal::Poison,
        Some(RDKafkaErrorCode::Fatal) => Refusal::Fatal,
        _ => Refusal::Passing,
    };
    DeliveryError { message: error.to_string(), refusal }
}

/// How many records are under way, and word when that falls.
#[derive(Default)]
struct UnderWay {
    count: AtomicUsize,
    fell: Condvar,
    lock: Mutex<()>,
}

/// An idempotent producer.
pub struct KafkaSink {
    /// Dropped first: it ends the deliveries, and with them the thread that tells them.
    producer: Option<ThreadedProducer<Context>>,
    deliveries: Sender<Delivery>,
    under_way: Arc<UnderWay>,
    teller: Option<std::thread::JoinHandle<()>>,
}

impl KafkaSink {
    /// A producer for `spec`'s brokers, with at most `queue` bytes of records waiting or under way.
    ///
    /// # Errors
    /// When a property is not the user's to set, or librdkafka refuses one.
    pub fn start(spec: &KafkaSpec, queue: usize, on_delivery: OnDelivery) -> Result<Self, Error> {
        #[allow(
            clippy::disallowed_methods,
            reason = "librdkafka's queue bounds what is under way, and a callback of librdkafka must not wait"
        )]
        let (deliveries, told) = crossbeam_channel::unbounded();
        let producer = config::producer(&spec.brokers, &spec.producer, queue)?
            .create_with_context(Context { deliveries: deliveries.clone() })
            .map_err(|error| config::not_made("producer", &error))?;
        let under_way = Arc::new(UnderWay::default());
        let seen = under_way.clone();
        let teller = std::thread::Builder::new()
            .name("kafka-deliveries".into())
            .spawn(move || tell(&told, &seen, &on_delivery))
            .map_err(|error| Error::client("cannot start the thread of deliveries", error))?;
        Ok(Self { producer: Some(producer), deliveries, under_way, teller: Some(teller) })
    }

    /// How many records have been sent and have no delivery yet.
    pub fn in_flight(&self) -> usize {
        self.under_way.count.load(Ordering::Acquire)
    }
}

fn tell(told: &Receiver<Delivery>, under_way: &UnderWay, on_delivery: &OnDelivery) {
    while let Ok(first) = told.recv() {
        let mut batch = vec![first];
        batch.extend(told.try_iter().take(BATCH - 1));
        let count = batch.len();
        on_delivery(batch);
        under_way.count.fetch_sub(count, Ordering::AcqRel);
        let _locked = under_way.lock.lock();
        under_way.fell.notify_all();
    }
}

impl Sink for KafkaSink {
    fn send(&mut self, record: OutRecord, token: u64) -> Result<(), OutRecord> {
        let Some(producer) = &self.producer else { return Err(record) };
        // Counted before it is sent, as its delivery may come before this returns.
        self.under_way.count.fetch_add(1, Ordering::AcqRel);
        let mut out: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&record.topic, token as usize).payload(&record.payload);
        if let Some(key) = &record.key {
            out = out.key(key);
        }
        if let Some(timestamp) = record.timestamp {
            out = out.timestamp(timestamp.as_millis());
        }
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            out = out.headers(record.headers.iter().fold(headers, |headers, header| {
                headers.insert(Header { key: &header.name, value: header.value.as_deref() })
            }));
        }
        match producer.send(out) {
            Ok(()) => Ok(()),
            Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                self.under_way.count.fetch_sub(1, Ordering::AcqRel);
                Err(record)
            }
            Err((error, _)) => {
                let delivery = Delivery { token, outcome: Err(delivery_error(&error)) };
                let _ended = self.deliveries.send(delivery);
                Ok(())
            }
        }
    }

    fn flush(&mut self, within: Duration) -> Result<(), usize> {
        let until = Instant::now() + within;
        let mut locked = self.under_way.lock.lock();
        loop {
            match self.in_flight() {
                0 => return Ok(()),
                left => {
                    if self.under_way.fell.wait_until(&mut locked, until).timed_out() {
                        return if self.in_flight() == 0 { Ok(()) } else { Err(left) };
                    }
                }
            }
        }
    }
}

impl Drop for KafkaSink {
    /// Records under way fail, and their deliveries are told, before this returns.
    fn drop(&mut self) {
        self.producer = None;
        let (gone, _) = crossbeam_channel::bounded(0);
        self.deliveries = gone;
        if let Some(teller) = self.teller.take() {
            let _panicked = teller.join();
        }
    }
}
