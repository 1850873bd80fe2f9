//! The callbacks of the consumer: rebalances, errors, statistics and log lines. A callback decides nothing. It keeps a notice, and
//! the poll thread acts on it after the poll has returned, so that no callback can wait for anything.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use crate::client_log;
use crate::statistics::ClientStatistics;

/// Wakes the poll thread.
#[derive(Default)]
pub(super) struct Wake {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake {
    pub(super) fn wake(&self) {
        let mut woken = self.woken.lock();
        if !*woken {
            *woken = true;
            self.changed.notify_one();
        }
    }

    /// Waits to be woken, at most this long. Returns at once if that happened since the last call. True if woken.
    pub(super) fn wait(&self, at_most: std::time::Duration) -> bool {
        let mut woken = self.woken.lock();
        if !*woken {
            self.changed.wait_for(&mut woken, at_most);
        }
        std::mem::take(&mut *woken)
    }
}

/// A topic's name and a partition's number.
pub(super) type TopicPartition = (String, i32);

/// An assignment or a revocation; the group waits until it is answered.
pub(super) enum Rebalance {
    Assign(Vec<TopicPartition>),
    /// True if other members may own the partitions already.
    Revoke(Vec<TopicPartition>, bool),
}

/// Notices that the poll thread has not acted on yet.
#[derive(Default)]
pub(super) struct Notices {
    pub(super) rebalances: VecDeque<Rebalance>,
    pub(super) errors: VecDeque<(Option<RDKafkaErrorCode>, String)>,
    /// The coordinator of the group does not know the protocol of KIP-848.
    pub(super) lacks_protocol: bool,
    /// The number of notices so far, which shows whether a poll has brought any.
    pub(super) noted: u64,
    /// The outcome of the pending commit.
    pub(super) committed: Option<Result<(), KafkaError>>,
    /// The statistics of the client, once a second.
    pub(super) statistics: Option<ClientStatistics>,
}

/// The most errors kept until the poll thread looks. A storm of errors repeats itself.
const MAX_ERRORS: usize = 64;

/// The log text of librdkafka for a coordinator that does not know the protocol of KIP-848 (its `rdkafka_request.c`).
const LACKS_PROTOCOL: &str = "ConsumerGroupHeartbeatRequest not supported by broker";

/// The consumer's callbacks.
pub(super) struct SourceContext {
    pub(super) notices: Arc<Mutex<Notices>>,
}

impl ClientContext for SourceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let mut notices = self.notices.lock();
        notices.noted += 1;
        notices.lacks_protocol |= facility == "COORD" && message.contains(LACKS_PROTOCOL);
        drop(notices);
        client_log::log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let statistics = ClientStatistics::read(statistics);
        let mut notices = self.notices.lock();
        notices.noted += 1;
        notices.statistics = statistics;
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is an event and no error: the read of the partition brings it too.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        let mut notices = self.notices.lock();
        notices.noted += 1;
        if notices.errors.len() < MAX_ERRORS {
            notices.errors.push_back((error.rdkafka_error_code(), reason.to_owned()));
        }
    }
}

impl ConsumerContext for SourceContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let list = partitions.elements().iter().map(|p| (p.topic().to_owned(), p.partition())).collect();
        let rebalance = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(list),
            _ => Rebalance::Revoke(list, consumer.assignment_lost()),
        };
        let mut notices = self.notices.lock();
        notices.noted += 1;
        notices.rebalances.push_back(rebalance);
    }
}
