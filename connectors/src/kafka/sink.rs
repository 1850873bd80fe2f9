//! Produces records.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lockstep_engine::condition::{Conditions, Unreported};
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::pipeline::KafkaSpec;
use lockstep_engine::publish::sink::{Delivery, DeliveryError, Full, OutRecord, Refusal, Sink};
use parking_lot::{Condvar, Mutex};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};

use super::inquiry::Inquiry;
use super::membership::Membership;
use super::publishing::Publishing;
use super::statistics::Statistics;
use super::transactions::{KafkaTransactions, TransactionalId};
use super::{Error, config, fault_point};

/// Takes deliveries, one at a time. Called on a thread of the client, or of whoever sends what cannot even be queued or
/// drops the sink, so it must return at once.
pub type OnDelivery = Arc<dyn Fn(Delivery) + Send + Sync>;

// A record's number travels through librdkafka in a pointer's place.
const _: () = assert!(usize::BITS == 64, "Lockstep needs a 64-bit machine");

pub(super) struct Context {
    on_delivery: OnDelivery,
    under_way: Arc<UnderWay>,
    publishing: Publishing,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::source::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.publishing.client_error(error.rdkafka_error_code(), reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(statistics) = Statistics::read(statistics) {
            self.publishing.look_at(&statistics, Instant::now());
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let message = match result {
            Ok(message) | Err((_, message)) => message,
        };
        // Before it is told, or whoever waits for room would look too early.
        self.under_way.makes_room(size(message.payload(), message.key()));
        let outcome = result.as_ref().map(|_| ()).map_err(|(error, _)| delivery_error(error));
        match result {
            Ok(message) => self.publishing.publishes(message.topic()),
            Err((error, message)) => self.publishing.cannot_publish(message.topic(), error),
        }
        (self.on_delivery)(Delivery { token: token as u64, outcome });
        self.under_way.ended();
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

/// What counts of a record against the window, in bytes: with about what librdkafka takes beside the two, headers too.
fn size(payload: Option<&[u8]>, key: Option<&[u8]>) -> usize {
    payload.map_or(0, <[u8]>::len) + key.map_or(0, <[u8]>::len) + 500
}

/// How many records are under way, and word when there are none.
#[derive(Default)]
struct UnderWay {
    count: AtomicUsize,
    bytes: AtomicUsize,
    none: Condvar,
    lock: Mutex<()>,
}

impl UnderWay {
    /// Counts a record of so many bytes if a window has room for it: for one alone it always has. Only one thread at a time
    /// takes room.
    fn takes_room(&self, bytes: usize, window: usize) -> bool {
        let there = self.bytes.load(Ordering::Acquire);
        if there > 0 && there.saturating_add(bytes) > window {
            return false;
        }
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.count.fetch_add(1, Ordering::AcqRel);
        true
    }

    fn makes_room(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    fn ended(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Whoever has just seen one left waits by now.
            drop(self.lock.lock());
            self.none.notify_all();
        }
    }
}

/// A producer.
pub struct KafkaSink {
    producer: Arc<ThreadedProducer<Context>>,
    on_delivery: OnDelivery,
    under_way: Arc<UnderWay>,
    publishing: Publishing,
    /// How many bytes may be under way. The client's own limit is twice that, and only a record larger than the window can
    /// reach it: it counts a record until some time after its delivery has been told, and whoever waits for that waits long.
    window: usize,
}

/// How many bytes of a transaction may be under way. When it is to end they have to be acknowledged first, and nothing else
/// is sent meanwhile: with a queue of tens of megabytes that is longer than the transaction.
const IN_TRANSACTION: usize = 8 << 20;

impl KafkaSink {
    /// An idempotent producer for `spec`'s brokers, with at most `queue` bytes of records waiting or under way. When it is dropped,
    /// records under way fail, and their deliveries are told, before that returns.
    ///
    /// # Errors
    /// When a property is not the user's to set, or librdkafka refuses one.
    pub fn start(spec: &KafkaSpec, queue: usize, on_delivery: OnDelivery) -> Result<Self, Error> {
        Self::start_reporting(spec, queue, on_delivery, Arc::new(Unreported))
    }

    /// The same, and reports what keeps it from publishing.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_reporting(
        spec: &KafkaSpec,
        queue: usize,
        on_delivery: OnDelivery,
        conditions: Arc<dyn Conditions>,
    ) -> Result<Self, Error> {
        let config = config::producer(&spec.brokers, &spec.producer, 2 * queue)?;
        let inquiring = config::connecting(&spec.brokers, &spec.producer);
        Self::make((config, inquiring), queue, on_delivery, conditions)
    }

    /// The same, with at most 8 MiB of them under way, and its transactions, one of which must have begun before anything is
    /// sent. Positions of `inputs` are committed as the member that `membership` says. One of the same `id` is fenced.
    ///
    /// # Errors
    /// As [`Self::start`], or when the system gives no thread.
    pub fn start_transactional(
        (spec, id): (&KafkaSpec, &TransactionalId),
        inputs: &[InputSpec],
        queue: usize,
        (membership, conditions): (Arc<Membership>, Arc<dyn Conditions>),
        on_delivery: OnDelivery,
    ) -> Result<(Self, KafkaTransactions), Error> {
        let inquiring = config::connecting(&spec.brokers, &spec.producer);
        let sink = Self::make(
            (config::transactional_producer(spec, id, 2 * queue)?, inquiring),
            queue.min(IN_TRANSACTION),
            on_delivery,
            conditions.clone(),
        )?;
        let topics = inputs.iter().map(|input| input.topic.clone()).collect();
        let transactions =
            KafkaTransactions::start((sink.producer.clone(), id.clone()), (membership, conditions), topics)?;
        Ok((sink, transactions))
    }

    fn make(
        (config, inquiring): (ClientConfig, ClientConfig),
        window: usize,
        on_delivery: OnDelivery,
        conditions: Arc<dyn Conditions>,
    ) -> Result<Self, Error> {
        let publishing = Publishing::new(conditions, Inquiry::new(inquiring));
        let under_way = Arc::new(UnderWay::default());
        let context = Context {
            on_delivery: on_delivery.clone(),
            under_way: under_way.clone(),
            publishing: publishing.clone(),
        };
        let producer =
            config.create_with_context(context).map_err(|error| config::not_made("producer", &error))?;
        Ok(Self { producer: Arc::new(producer), on_delivery, under_way, publishing, window })
    }

    /// How many records have been sent and have no delivery yet.
    pub fn in_flight(&self) -> usize {
        self.under_way.count.load(Ordering::Acquire)
    }
}

impl Sink for KafkaSink {
    fn send(&mut self, record: &OutRecord, token: u64) -> Result<(), Full> {
        // Counted before it is sent, as its delivery may come before this returns.
        let bytes = size(Some(&record.payload), record.key.as_deref());
        if !self.under_way.takes_room(bytes, self.window) {
            return Err(Full);
        }
        let mut out: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&record.topic, token as usize).payload(&record.payload);
        out.partition = record.partition;
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
        fault_point::pass("before-produce");
        match self.producer.send(out) {
            Ok(()) => {
                fault_point::pass("after-produce");
                Ok(())
            }
            Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                self.under_way.makes_room(bytes);
                self.under_way.count.fetch_sub(1, Ordering::AcqRel);
                Err(Full)
            }
            Err((error, _)) => {
                self.publishing.cannot_publish(&record.topic, &error);
                self.under_way.makes_room(bytes);
                (self.on_delivery)(Delivery { token, outcome: Err(delivery_error(&error)) });
                self.under_way.ended();
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
                    if self.under_way.none.wait_until(&mut locked, until).timed_out() {
                        return if self.in_flight() == 0 { Ok(()) } else { Err(left) };
                    }
                }
            }
        }
    }
}
