//! The sink: an idempotent or transactional producer of records.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use lockstep_engine::condition::{Conditions, Unreported};
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::pipeline::KafkaSpec;
use lockstep_engine::publish::sink::{Delivery, DeliveryError, Full, OnDelivery, OutRecord, Refusal, Sink};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ThreadedProducer};

use super::in_flight::{RecordsInFlight, SendLimit};
use super::inquiry::Inquiry;
use super::membership::Membership;
use super::outlets::{Admission, Outlets};
use super::publishing::Publishing;
use super::sink_context::{Halt, HaltOn, SendFailure, SinkContext, of_header, size};
use super::transactional_id::TransactionalId;
use super::transactions::KafkaTransactions;
use super::{Error, config, fault_point};

/// The sink. It bounds the bytes in flight, in all and for each topic.
pub struct KafkaSink {
    producer: Arc<ThreadedProducer<SinkContext>>,
    on_delivery: OnDelivery,
    in_flight: Arc<RecordsInFlight>,
    publishing: Publishing,
    outlets: Arc<Outlets>,
    halt: Arc<Halt>,
}

impl KafkaSink {
    /// Starts an idempotent producer for `spec`'s brokers, with at most `queue` bytes of records queued or in flight. Records may
    /// overtake a refused one. When the sink is dropped, records in flight fail, and their deliveries are reported, before the drop
    /// returns.
    ///
    /// # Errors
    /// When `spec` has a property that only Lockstep may set, or that librdkafka refuses.
    pub fn start(spec: &KafkaSpec, queue: usize, on_delivery: OnDelivery) -> Result<Self, Error> {
        Self::idempotent(spec, queue, HaltOn::Nothing, on_delivery, Arc::new(Unreported))
    }

    /// Starts a producer as [`Self::start`] does, which keeps the order of records across refusals. After a refused batch the sink
    /// takes back the records that follow. It takes no more until [`Sink::resume`]. So the publisher can send all of them again in
    /// order. Reports the conditions that keep it from publishing.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_in_order(
        spec: &KafkaSpec,
        queue: usize,
        on_delivery: OnDelivery,
        conditions: Arc<dyn Conditions>,
    ) -> Result<Self, Error> {
        Self::idempotent(spec, queue, HaltOn::RefusedBatch, on_delivery, conditions)
    }

    fn idempotent(
        spec: &KafkaSpec,
        queue: usize,
        halt_on: HaltOn,
        on_delivery: OnDelivery,
        conditions: Arc<dyn Conditions>,
    ) -> Result<Self, Error> {
        // The client's own limit is twice the queue, so that only a record larger than the queue can reach it. The client counts
        // a record for some time after its delivery report, so a sender at that limit would wait long.
        let config = config::producer(&spec.brokers, &spec.producer, 2 * queue)?;
        let inquiring = config::connecting(&spec.brokers, &spec.producer);
        let limit = SendLimit::Fixed(queue);
        Self::make(spec, config, inquiring, limit, halt_on, on_delivery, conditions)
    }

    /// Asks the brokers for the limits of these topics, so that no batch is larger. Waits for a few seconds at most. A limit that
    /// stays unknown is learned when a broker refuses a batch.
    #[must_use]
    pub fn for_topics(self, topics: &[&str]) -> Self {
        self.outlets.learn(topics);
        self
    }

    /// Starts a transactional producer, and the thread that makes its transactions. A transaction must have begun before the first
    /// record is sent. The bytes in flight follow the rate at which the brokers acknowledge, up to `queue`. A transaction commits
    /// the offsets of `inputs` as the group member in `membership`. The brokers fence an older producer of the same `id`. After any
    /// failed delivery the sink takes back the records that follow, and takes no more until [`Sink::resume`].
    ///
    /// # Errors
    /// As [`Self::start`], or when the system gives no thread.
    pub fn start_transactional(
        spec: &KafkaSpec,
        id: &TransactionalId,
        inputs: &[InputSpec],
        queue: usize,
        membership: Arc<Membership>,
        conditions: Arc<dyn Conditions>,
        on_delivery: OnDelivery,
    ) -> Result<(Self, KafkaTransactions), Error> {
        let inquiring = config::connecting(&spec.brokers, &spec.producer);
        let inquiry = Inquiry::new(inquiring.clone());
        let config = config::transactional_producer(spec, id, 2 * queue)?;
        let limit = SendLimit::Following(id.window(), queue);
        let sink =
            Self::make(spec, config, inquiring, limit, HaltOn::AnyFailure, on_delivery, conditions.clone())?;
        let topics = inputs.iter().map(|input| input.topic.clone()).collect();
        let transactions = KafkaTransactions::start(
            sink.producer.clone(),
            id.clone(),
            membership,
            conditions,
            topics,
            inquiry,
        )?;
        Ok((sink, transactions))
    }

    fn make(
        spec: &KafkaSpec,
        settings: ClientConfig,
        inquiring: ClientConfig,
        limit: SendLimit,
        halt_on: HaltOn,
        on_delivery: OnDelivery,
        conditions: Arc<dyn Conditions>,
    ) -> Result<Self, Error> {
        let publishing = Publishing::new(conditions, Inquiry::new(inquiring));
        let (in_flight, halt) = (Arc::new(RecordsInFlight::new(limit)), Arc::new(Halt::new(halt_on)));
        let outlets = Arc::new(Outlets::new(spec, &settings));
        let context = SinkContext {
            on_delivery: on_delivery.clone(),
            in_flight: in_flight.clone(),
            outlets: outlets.clone(),
            halt: halt.clone(),
            publishing: publishing.clone(),
        };
        let producer: ThreadedProducer<SinkContext> =
            settings.create_with_context(context).map_err(|error| config::not_made("producer", &error))?;
        let producer = Arc::new(producer);
        *halt.producer.lock() = Arc::downgrade(&producer);
        Ok(Self { producer, on_delivery, in_flight, outlets, halt, publishing })
    }

    /// The number of records that were sent and have no delivery yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.count.load(Ordering::Acquire)
    }
}

impl Sink for KafkaSink {
    fn send(&mut self, record: &OutRecord, token: u64) -> Result<(), Full> {
        // Counted before the send: the delivery may come before the send returns.
        let headers = record.headers.iter().map(|header| of_header(&header.name, header.value.as_deref()));
        let bytes = size(Some(&record.payload), record.key.as_deref(), headers.sum());
        if self.halt.is_on() || !self.in_flight.reserve(bytes) {
            return Err(Full);
        }
        let timestamp = match self.outlets.admit(record, bytes, token) {
            Admission::Send(timestamp) => timestamp,
            Admission::Wait => {
                self.in_flight.withdraw(bytes);
                return Err(Full);
            }
            Admission::Refuse(why) => {
                self.in_flight.release(bytes, false);
                let error = DeliveryError { message: why, refusal: Refusal::Unsent };
                (self.on_delivery)(Delivery { token, outcome: Err(error) });
                self.in_flight.ended();
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
                self.in_flight.withdraw(bytes);
                Err(Full)
            }
            Err((error, _)) => {
                self.publishing.cannot_publish(&record.topic, &error);
                self.outlets.withdraw(&record.topic, bytes);
                self.in_flight.release(bytes, false);
                let refusal = match SendFailure::of(&error) {
                    SendFailure::Batch { .. } => Refusal::Unsent,
                    SendFailure::Fatal => Refusal::Fatal,
                    SendFailure::Beside | SendFailure::Passing => Refusal::Passing,
                };
                let error = DeliveryError { message: error.to_string(), refusal };
                (self.on_delivery)(Delivery { token, outcome: Err(error) });
                self.in_flight.ended();
                Ok(())
            }
        }
    }

    fn flush(&mut self, within: Duration) -> Result<(), usize> {
        let until = Instant::now() + within;
        let mut locked = self.in_flight.lock.lock();
        loop {
            match self.in_flight() {
                0 => return Ok(()),
                left => {
                    if self.in_flight.none.wait_until(&mut locked, until).timed_out() {
                        return if self.in_flight() == 0 { Ok(()) } else { Err(left) };
                    }
                }
            }
        }
    }

    fn resume(&mut self) {
        self.outlets.send_again();
        self.halt.resume();
    }
}

impl Drop for KafkaSink {
    fn drop(&mut self) {
        *self.halt.producer.lock() = Weak::new();
    }
}
