//! An assigned partition: its queue inside librdkafka, and the position of the reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lockstep_engine::position::{NextOffset, PartitionId};
use lockstep_engine::sample::Record;
use lockstep_engine::time::Timestamp;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;

use super::context::{SourceContext, Wake};
use super::message::{self, Keys};

/// The most records in a chunk.
const CHUNK_RECORDS: usize = 256;
/// The bytes of payload that complete a chunk. An empty queue completes it too.
const CHUNK_BYTES: usize = 1 << 20;

pub(super) struct AssignedPartition {
    pub(super) id: PartitionId,
    pub(super) topic: Arc<str>,
    pub(super) paused: bool,
    /// The offset of the next record to deliver.
    pub(super) next: NextOffset,
    /// Reading has stopped, because the broker does not have the offset `next`.
    pub(super) out_of_range: bool,
    /// A record had no event time but the time at which the broker appended it.
    pub(super) stamped_by_broker: bool,
    /// The end was reached, and not reported yet.
    at_end: bool,
    queue: PartitionQueue<SourceContext>,
    /// The queue may hold records. With hundreds of partitions, a look into each queue on every turn would take longer than
    /// reading the queues that have records.
    nonempty: Arc<AtomicBool>,
    keys: Keys,
}

/// The outcome of reading a partition.
pub(super) enum ReadOutcome {
    Nothing,
    Chunk(Vec<Record>),
    /// The reader has reached the end of the partition.
    End,
    Error(KafkaError),
}

impl AssignedPartition {
    /// Splits the partition's queue off the consumer's. Call this before the partition is assigned, so that none of its records
    /// come through the consumer's queue.
    pub(super) fn split(
        consumer: &Arc<BaseConsumer<SourceContext>>,
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

    /// Returns true if the queue may hold records, and clears that mark.
    pub(super) fn take_nonempty(&self) -> bool {
        self.nonempty.load(Ordering::Relaxed) && self.nonempty.swap(false, Ordering::Acquire)
    }

    /// Marks the queue as one that may hold records.
    pub(super) fn look_again(&self) {
        self.nonempty.store(true, Ordering::Release);
    }

    /// Reads the records that are in the queue, up to a chunk, without waiting.
    pub(super) fn read(&mut self, held_error: &mut Option<KafkaError>) -> ReadOutcome {
        if let Some(error) = held_error.take() {
            return ReadOutcome::Error(error);
        }
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut polled = None;
        while records.len() < CHUNK_RECORDS && bytes < CHUNK_BYTES {
            match self.queue.poll(std::time::Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    // Records fetched before a seek may still be in the queue.
                    if message.offset() < self.next.0 {
                        continue;
                    }
                    let (wall, now) = *polled.get_or_insert_with(|| (Timestamp::wall(), Timestamp::now()));
                    let record = message::record(&message, self.id, &mut self.keys, wall, now);
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
                        return ReadOutcome::Error(error);
                    }
                    *held_error = Some(error);
                    break;
                }
            }
        }
        if records.is_empty() {
            return if std::mem::take(&mut self.at_end) { ReadOutcome::End } else { ReadOutcome::Nothing };
        }
        self.look_again();
        ReadOutcome::Chunk(records)
    }

    pub(super) fn is_out_of_range(error: &KafkaError) -> bool {
        matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
        )
    }
}
