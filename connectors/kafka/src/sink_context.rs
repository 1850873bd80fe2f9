//! The callbacks of the sink's producer: deliveries, errors, statistics and log lines.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use lockstep_engine::publish::sink::{Delivery, DeliveryError, OnDelivery, Refusal};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Headers, Message};
use rdkafka::producer::{Producer, ProducerContext, PurgeConfig, ThreadedProducer};

use super::client_log;
use super::in_flight::RecordsInFlight;
use super::outlets::Outlets;
use super::publishing::Publishing;
use super::statistics::ClientStatistics;

// librdkafka carries a record's number in the place of a pointer.
const _: () = assert!(usize::BITS == 64, "Lockstep needs a 64-bit machine");

pub(super) struct SinkContext {
    pub(super) on_delivery: OnDelivery,
    pub(super) in_flight: Arc<RecordsInFlight>,
    pub(super) outlets: Arc<Outlets>,
    pub(super) halt: Arc<Halt>,
    pub(super) publishing: Publishing,
}

/// The failures after which the sink halts, so that no record overtakes one that is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HaltOn {
    /// None: the order across refusals does not matter.
    Nothing,
    /// The broker has refused a batch.
    RefusedBatch,
    /// Any: one failure fails the whole transaction, and librdkafka sends no more of it.
    AnyFailure,
}

/// Halts the sink after a failure: it takes queued records back, and takes no more until it resumes.
pub(super) struct Halt {
    on: HaltOn,
    is_on: AtomicBool,
    /// Empty once the sink is dropped. The producer holds this context. The lock is held while the producer is in use: its drop
    /// waits for its own thread, so it must not run there.
    pub(super) producer: Mutex<Weak<ThreadedProducer<SinkContext>>>,
}

impl Halt {
    pub(super) fn new(on: HaltOn) -> Self {
        Self { on, is_on: AtomicBool::new(false), producer: Mutex::default() }
    }

    /// Returns true if the sink takes no records.
    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    pub(super) fn resume(&self) {
        self.is_on.store(false, Ordering::Release);
    }

    fn after(&self, refusal: Refusal) {
        let halts = match self.on {
            HaltOn::Nothing => false,
            HaltOn::RefusedBatch => refusal == Refusal::Batch,
            HaltOn::AnyFailure => true,
        };
        if halts && !self.is_on.swap(true, Ordering::AcqRel) {
            let producer = self.producer.lock();
            if let Some(producer) = producer.upgrade() {
                // librdkafka waits for the records in flight before it sends more, so the purge comes first.
                producer.purge(PurgeConfig::default().queue());
            }
        }
    }
}

impl ClientContext for SinkContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.publishing.client_error(error.rdkafka_error_code(), reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(statistics) = ClientStatistics::read(statistics) {
            self.publishing.look_at(&statistics, Instant::now());
        }
    }
}

impl ProducerContext for SinkContext {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let message = match result {
            Ok(message) | Err((_, message)) => message,
        };
        // Before the delivery is reported: a sender that waits for space looks again on that report.
        let headers = message
            .headers()
            .map_or(0, |headers| headers.iter().map(|header| of_header(header.key, header.value)).sum());
        let bytes = size(message.payload(), message.key(), headers);
        self.in_flight.release(bytes, result.is_ok());
        let outcome = match result {
            Ok(_) => {
                self.outlets.taken(message.topic(), bytes);
                self.publishing.publishes(message.topic());
                Ok(())
            }
            Err((error, _)) => Err(self.failed(error, message.topic(), bytes, token as u64)),
        };
        (self.on_delivery)(Delivery { token: token as u64, outcome });
        self.in_flight.ended();
    }
}

impl SinkContext {
    fn failed(&self, error: &KafkaError, topic: &str, bytes: usize, number: u64) -> DeliveryError {
        self.publishing.cannot_publish(topic, error);
        let mut message = error.to_string();
        let refusal = match SendFailure::of(error) {
            SendFailure::Batch { for_size } => {
                // In a transaction the publisher sends all records again under the same numbers.
                let number = (self.halt.on == HaltOn::AnyFailure).then_some(number);
                match self.outlets.refused(topic, bytes, number, for_size) {
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
            // The broker refused a record before this one, or in the same batch.
            SendFailure::Beside if self.halt.is_on() => {
                self.outlets.withdraw(topic, bytes);
                Refusal::Batch
            }
            SendFailure::Beside | SendFailure::Passing => {
                self.outlets.withdraw(topic, bytes);
                Refusal::Passing
            }
            SendFailure::Fatal => {
                self.outlets.withdraw(topic, bytes);
                Refusal::Fatal
            }
        };
        self.halt.after(refusal);
        DeliveryError { message, refusal }
    }
}

/// The subject of a record's failure.
pub(super) enum SendFailure {
    /// The broker refused the batch: for its size, or for one of its records.
    Batch {
        for_size: bool,
    },
    /// Another record caused it.
    Beside,
    Passing,
    Fatal,
}

impl SendFailure {
    pub(super) fn of(error: &KafkaError) -> Self {
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

/// The bytes of a record that count against the limit, with about 500 for librdkafka's own structures.
pub(super) fn size(payload: Option<&[u8]>, key: Option<&[u8]>, headers: usize) -> usize {
    payload.map_or(0, <[u8]>::len) + key.map_or(0, <[u8]>::len) + headers + 500
}

/// The bytes of a header that count, with the lengths before its name and its value.
pub(super) fn of_header(name: &str, value: Option<&[u8]>) -> usize {
    name.len() + value.map_or(0, <[u8]>::len) + 10
}
