//! Produces records.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use lockstep_engine::condition::{Conditions, Unreported};
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::pipeline::KafkaSpec;
use lockstep_engine::publish::sink::{Delivery, DeliveryError, Full, OutRecord, Refusal, Sink};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, PurgeConfig, ThreadedProducer};

use super::inquiry::Inquiry;
use super::membership::Membership;
use super::outlets::{Admission, Outlets};
use super::publishing::Publishing;
use super::statistics::Statistics;
use super::transactions::{KafkaTransactions, TransactionalId};
use super::under_way::{UnderWay, Window};
use super::{Error, config, fault_point};

/// Takes deliveries, one at a time. Called on a thread of the client, or of whoever sends what cannot even be queued or
/// drops the sink, so it must return at once.
pub type OnDelivery = Arc<dyn Fn(Delivery) + Send + Sync>;

// A record's number travels through librdkafka in a pointer's place.
const _: () = assert!(usize::BITS == 64, "Lockstep needs a 64-bit machine");

pub(super) struct Context {
    on_delivery: OnDelivery,
    under_way: Arc<UnderWay>,
    outlets: Arc<Outlets>,
    halt: Arc<Halt>,
    publishing: Publishing,
}

/// Takes back what has been sent and is not on its way yet, when something before it was refused: it must not overtake that.
#[derive(Default)]
struct Halt {
    /// Whether order matters so much.
    is_wanted: AtomicBool,
    /// Whether any failure is one of all: nothing of its transaction will count, and librdkafka sends no more of that.
    on_any_failure: AtomicBool,
    /// Nothing is taken until this is false.
    is_on: AtomicBool,
    /// Until the sink is dropped. The producer holds this. Locked while it is in use: it must not be dropped on its own thread,
    /// which it waits for.
    producer: Mutex<Weak<ThreadedProducer<Context>>>,
}

impl Halt {
    fn halt(&self) {
        if self.is_wanted.load(Ordering::Acquire) && !self.is_on.swap(true, Ordering::AcqRel) {
            let producer = self.producer.lock();
            if let Some(producer) = producer.upgrade() {
                // librdkafka waits for what is under way before it sends anything else, so this comes before that.
                producer.purge(PurgeConfig::default().queue());
            }
        }
    }
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
        let headers = message
            .headers()
            .map_or(0, |headers| headers.iter().map(|header| of_header(header.key, header.value)).sum());
        let bytes = size(message.payload(), message.key(), headers);
        self.under_way.makes_room(bytes, result.is_ok());
        let outcome = match result {
            Ok(_) => {
                self.outlets.taken(message.topic(), bytes);
                self.publishing.publishes(message.topic());
                Ok(())
            }
            Err((error, _)) => Err(self.failed(error, message.topic(), (bytes, token as u64))),
        };
        (self.on_delivery)(Delivery { token: token as u64, outcome });
        self.under_way.ended();
    }
}

impl Context {
    fn failed(&self, error: &KafkaError, topic: &str, (bytes, number): (usize, u64)) -> DeliveryError {
        self.publishing.cannot_publish(topic, error);
        let mut message = error.to_string();
        let refusal = match Failure::of(error) {
            Failure::Batch { for_size } => {
                // In a transaction all is sent again under the same numbers.
                let number = self.halt.on_any_failure.load(Ordering::Acquire).then_some(number);
                match self.outlets.refused(topic, (bytes, number), for_size) {
                    true => {
                        if for_size {
                            message = format!(
                                "it is larger than the topic {topic} takes (max.message.bytes of it, message.max.bytes of the \
                                 brokers)"
                            );
                        }
                        Refusal::Poison
                    }
                    false => Refusal::Batch,
                }
            }
            // Before it, or beside it, something was refused.
            Failure::Beside if self.halt.is_on.load(Ordering::Acquire) => {
                self.outlets.withdraw(topic, bytes);
                Refusal::Batch
            }
            Failure::Beside | Failure::Passing => {
                self.outlets.withdraw(topic, bytes);
                Refusal::Passing
            }
            Failure::Fatal => {
                self.outlets.withdraw(topic, bytes);
                Refusal::Fatal
            }
        };
        if refusal == Refusal::Batch || self.halt.on_any_failure.load(Ordering::Acquire) {
            self.halt.halt();
        }
        DeliveryError { message, refusal }
    }
}

/// What a record's failure is about.
enum Failure {
    /// The batch was refused, for its size or for what one of its records is.
    Batch {
        for_size: bool,
    },
    /// It is not this record's own.
    Beside,
    Passing,
    Fatal,
}

impl Failure {
    fn of(error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::MessageBatchTooLarge,
            ) => Self::Batch { for_size: true },
            Some(
                RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::InvalidDifferentRecord
                | RDKafkaErrorCode::InvalidTimestamp
                | RDKafkaErrorCode::UnsupportedForMessageFormat,
            ) => Self::Batch { for_size: false },
            Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => Self::Beside,
            Some(RDKafkaErrorCode::Fatal) => Self::Fatal,
            _ => Self::Passing,
        }
    }
}

/// What counts of a record against the window, in bytes: with about what librdkafka takes beside these.
fn size(payload: Option<&[u8]>, key: Option<&[u8]>, headers: usize) -> usize {
    payload.map_or(0, <[u8]>::len) + key.map_or(0, <[u8]>::len) + headers + 500
}

/// What counts of a header: with the lengths that stand before both parts.
fn of_header(name: &str, value: Option<&[u8]>) -> usize {
    name.len() + value.map_or(0, <[u8]>::len) + 10
}

/// A producer.
pub struct KafkaSink {
    producer: Arc<ThreadedProducer<Context>>,
    on_delivery: OnDelivery,
    under_way: Arc<UnderWay>,
    publishing: Publishing,
    outlets: Arc<Outlets>,
    halt: Arc<Halt>,
}

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
        // Only a record larger than the window can reach the client's own limit. The client counts a record until some time
        // after its delivery has been told, and whoever waits for that waits long.
        let config = config::producer(&spec.brokers, &spec.producer, 2 * queue)?;
        let inquiring = config::connecting(&spec.brokers, &spec.producer);
        Self::make(spec, (config, inquiring), Window::Fixed(queue), on_delivery, conditions)
    }

    /// After a refused batch it takes back what follows, and takes nothing until it is told to [resume](Sink::resume), so that
    /// all of it can be sent again in its order.
    #[must_use]
    pub fn keeping_order(self) -> Self {
        self.halt.is_wanted.store(true, Ordering::Release);
        self
    }

    /// Asks the brokers what these topics take, so that no batch is larger. Waits for a few seconds at most; what is not known is
    /// found out when a batch is refused.
    #[must_use]
    pub fn for_topics(self, topics: &[&str]) -> Self {
        self.outlets.learn(topics);
        self
    }

    /// The same, with as many of them under way as the brokers take soon, and its transactions, one of which must have begun before anything is
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
        let inquiry = Inquiry::new(inquiring.clone());
        let config = (config::transactional_producer(spec, id, 2 * queue)?, inquiring);
        let window = Window::Following(id.window(), queue);
        let sink = Self::make(spec, config, window, on_delivery, conditions.clone())?;
        sink.halt.on_any_failure.store(true, Ordering::Release);
        let topics = inputs.iter().map(|input| input.topic.clone()).collect();
        let transactions = KafkaTransactions::start(
            (sink.producer.clone(), id.clone()),
            (membership, conditions),
            (topics, inquiry),
        )?;
        Ok((sink, transactions))
    }

    fn make(
        spec: &KafkaSpec,
        (settings, inquiring): (ClientConfig, ClientConfig),
        window: Window,
        on_delivery: OnDelivery,
        conditions: Arc<dyn Conditions>,
    ) -> Result<Self, Error> {
        let publishing = Publishing::new(conditions, Inquiry::new(inquiring));
        let (under_way, halt) = (Arc::new(UnderWay::new(window)), Arc::new(Halt::default()));
        let outlets = Arc::new(Outlets::new(spec, &settings));
        let context = Context {
            on_delivery: on_delivery.clone(),
            under_way: under_way.clone(),
            outlets: outlets.clone(),
            halt: halt.clone(),
            publishing: publishing.clone(),
        };
        let producer: ThreadedProducer<Context> =
            settings.create_with_context(context).map_err(|error| config::not_made("producer", &error))?;
        let producer = Arc::new(producer);
        *halt.producer.lock() = Arc::downgrade(&producer);
        Ok(Self { producer, on_delivery, under_way, outlets, halt, publishing })
    }

    /// How many records have been sent and have no delivery yet.
    pub fn in_flight(&self) -> usize {
        self.under_way.count.load(Ordering::Acquire)
    }
}

impl Sink for KafkaSink {
    fn send(&mut self, record: &OutRecord, token: u64) -> Result<(), Full> {
        // Counted before it is sent, as its delivery may come before this returns.
        let headers = record.headers.iter().map(|header| of_header(&header.name, header.value.as_deref()));
        let bytes = size(Some(&record.payload), record.key.as_deref(), headers.sum());
        if self.halt.is_on.load(Ordering::Acquire) || !self.under_way.takes_room(bytes) {
            return Err(Full);
        }
        let timestamp = match self.outlets.admit(record, bytes, token) {
            Admission::Send(timestamp) => timestamp,
            Admission::Wait => {
                self.under_way.withdraw(bytes);
                return Err(Full);
            }
            Admission::Refuse(why) => {
                self.under_way.makes_room(bytes, false);
                let error = DeliveryError { message: why, refusal: Refusal::Unsent };
                (self.on_delivery)(Delivery { token, outcome: Err(error) });
                self.under_way.ended();
                return Ok(());
            }
        };
        let mut out: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&record.topic, token as usize).payload(&record.payload);
        out.partition = record.partition;
        if let Some(key) = &record.key {
            out = out.key(key);
        }
        if let Some(timestamp) = timestamp {
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
                self.outlets.withdraw(&record.topic, bytes);
                self.under_way.withdraw(bytes);
                Err(Full)
            }
            Err((error, _)) => {
                self.publishing.cannot_publish(&record.topic, &error);
                self.outlets.withdraw(&record.topic, bytes);
                self.under_way.makes_room(bytes, false);
                let refusal = match Failure::of(&error) {
                    Failure::Batch { .. } => Refusal::Unsent,
                    Failure::Fatal => Refusal::Fatal,
                    Failure::Beside | Failure::Passing => Refusal::Passing,
                };
                let error = DeliveryError { message: error.to_string(), refusal };
                (self.on_delivery)(Delivery { token, outcome: Err(error) });
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

    fn resume(&mut self) {
        self.outlets.send_again();
        self.halt.is_on.store(false, Ordering::Release);
    }
}

impl Drop for KafkaSink {
    fn drop(&mut self) {
        *self.halt.producer.lock() = Weak::new();
    }
}
