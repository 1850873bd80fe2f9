//! One assigned partition: its queue inside librdkafka and how far it has been read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lockstep_engine::position::{NextOffset, PartitionId};
use lockstep_engine::sample::Record;
use lockstep_engine::time::Timestamp;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;

use super::context::{Context, Wake};
use super::message::{self, Keys};

/// A chunk is handed over when it has so many records…
const CHUNK_RECORDS: usize = 256;
/// …or so many bytes of payload, or when there is nothing more at the moment.
const CHUNK_BYTES: usize = 1 << 20;

pub(super) struct Partition {
    pub(super) id: PartitionId,
    pub(super) topic: Arc<str>,
    pub(super) paused: bool,
    /// The offset of the next record to deliver.
    pub(super) next: NextOffset,
    /// Reading has stopped because `next` is not among the offsets that the broker has.
    pub(super) out_of_range: bool,
    /// A record told its event time by nothing but when the broker appended it.
    pub(super) stamped_by_broker: bool,
    /// Its end has been reached, and that has not been told.
    at_end: bool,
    queue: PartitionQueue<Context>,
    /// Whether there may be something in the queue: with hundreds of partitions, looking into each at every turn
    /// would take longer than reading those that have something.
    nonempty: Arc<AtomicBool>,
    keys: Keys,
}

/// What reading a partition has brought.
pub(super) enum Read {
    Nothing,
    Chunk(Vec<Record>),
    /// There is nothing more at the moment, and all before has been read.
    End,
    Error(KafkaError),
}

impl Partition {
    /// Splits the partition's queue off the consumer's. To be called before the partition is assigned,
    /// so that none of its records are delivered through the consumer's queue.
    pub(super) fn split(
        consumer: &Arc<BaseConsumer<Context>>,
        id: PartitionId,
        topic: Arc<str>,
        next: NextOffset,
        wake: &Arc<Wake>,
    ) -> Option<Self> {
        let mut queue = consumer.split_partition_queue(&topic, id.partition)?;
        let (wake, nonempty) = (wake.clone(), Arc::new(AtomicBool::new(true)));
        let filled = nonempty.clone();
        queue.set_nonempty_callback(move || {
            filled.store(true, Ordering::Release);
            wake.wake();
        });
        let (keys, paused, out_of_range, stamped_by_broker, at_end) =
            (Keys::new(), false, false, false, false);
        Some(Self { id, topic, paused, next, out_of_range, stamped_by_broker, at_end, queue, nonempty, keys })
    }

    /// Whether a look into the queue may find something; forgotten by asking.
    pub(super) fn take_nonempty(&self) -> bool {
        self.nonempty.load(Ordering::Relaxed) && self.nonempty.swap(false, Ordering::Acquire)
    }

    /// The queue is to be looked into again.
    pub(super) fn look_again(&self) {
        self.nonempty.store(true, Ordering::Release);
    }

    /// What is there without waiting, up to a chunk.
    pub(super) fn read(&mut self, held_error: &mut Option<KafkaError>) -> Read {
        if let Some(error) = held_error.take() {
            return Read::Error(error);
        }
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut now = None;
        while records.len() < CHUNK_RECORDS && bytes < CHUNK_BYTES {
            match self.queue.poll(std::time::Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    // What was fetched before a seek may still be there.
                    if message.offset() < self.next.0 {
                        continue;
                    }
                    let now = *now.get_or_insert_with(|| (Timestamp::wall(), Timestamp::now()));
                    let record = message::record(&message, self.id, &mut self.keys, now);
                    self.stamped_by_broker |= message::is_stamped_by_broker(&message, &record);
                    self.next = record.position.offset.next();
                    bytes += record.payload.len();
                    records.push(record);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.at_end = true;
                    break;
                }
                Some(Err(error)) => {
                    self.look_again();
                    if records.is_empty() {
                        return Read::Error(error);
                    }
                    *held_error = Some(error);
                    break;
                }
            }
        }
        if records.is_empty() {
            return if std::mem::take(&mut self.at_end) { Read::End } else { Read::Nothing };
        }
        self.look_again();
        Read::Chunk(records)
    }

    pub(super) fn is_out_of_range(error: &KafkaError) -> bool {
        matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
        )
    }
}
