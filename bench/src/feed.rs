//! Sends records by the clock: as they come due, or each when the one before it has its result.

#![allow(clippy::disallowed_methods, reason = "it sends by the clock")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lockstep_assemble::Failure;
use lockstep_engine::ingest::wire::EVENT_TIME_NS;
use lockstep_engine::pipeline::KafkaSpec;
use lockstep_engine::publish::sink::{OutRecord, Sink};
use lockstep_engine::sample::Header;
use lockstep_engine::time::Timestamp;
use lockstep_kafka::sink::KafkaSink;

use super::live::Live;

/// Streams that the records are spread over.
const STREAMS: u64 = 16;
/// The producer's queue, in bytes.
const QUEUE: usize = 64 << 20;
/// The longest wait for acknowledgements.
const PATIENCE: Duration = Duration::from_secs(30);

/// The records to send, and their times.
pub(super) struct Feed {
    pub(super) topic: Arc<str>,
    pub(super) value: Bytes,
    pub(super) records: u64,
    /// The interval at which records are due. The due time is the event time.
    pub(super) every: Duration,
    /// True if each record waits for the result of the one before.
    pub(super) one_at_a_time: bool,
}

impl Feed {
    /// Sends everything, on the calling thread, once the first record has its result.
    pub(super) fn run(&self, kafka: &KafkaSpec, live: &Live<'_>) -> Result<(), Failure> {
        // Records leave at once: their way to the broker is not measured.
        let producer = BTreeMap::from([("linger.ms".to_owned(), "0".to_owned())]);
        let spec = KafkaSpec { producer, ..kafka.clone() };
        let mut sink = KafkaSink::start(&spec, QUEUE, Arc::new(|_| {}))?;
        let mut since = Timestamp::now();
        for number in 0..self.records {
            if live.stop.is_stopped() {
                break;
            }
            let due = since.after(self.every.mul_f64(number as f64));
            std::thread::sleep(due.since(Timestamp::now()));
            // Without an interval, the time of sending tells records apart.
            let event_time = if self.every.is_zero() { Timestamp::now() } else { due };
            let record = self.record(number, event_time);
            while sink.send(&record, number).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
            // The clock begins with the first result: until a producer has met its broker for the first time, which
            // takes up to a second, records would pile up.
            if (self.one_at_a_time || number == 0) && !live.has_result()? {
                break;
            }
            if number == 0 {
                since = Timestamp::now();
            }
        }
        sink.flush(PATIENCE).map_err(|left| format!("{left} records could not be sent").into())
    }

    fn record(&self, number: u64, event_time: Timestamp) -> OutRecord {
        OutRecord {
            topic: self.topic.clone(),
            partition: None,
            key: Some(Bytes::from(format!("stream-{}", number % STREAMS))),
            payload: self.value.clone(),
            headers: vec![Header::new(EVENT_TIME_NS, event_time.as_nanos().to_string())],
            timestamp: None,
        }
    }
}
