//! What librdkafka says beside records. Nothing is decided in a callback: it is noted, and the poll
//! thread acts on it after the poll has returned, so that no callback can wait for anything.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::log_throttle::LogThrottle;
use crate::kafka::statistics::Statistics;

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

    /// Returns when woken, at once if that has happened since the last call, or when the time is up. Says which.
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

/// The group gives or takes partitions, and waits until it is told that this has been done.
pub(super) enum Rebalance {
    Assign(Vec<TopicPartition>),
    /// With whether others may have them already.
    Revoke(Vec<TopicPartition>, bool),
}

/// What has been noted and not yet been acted on.
#[derive(Default)]
pub(super) struct Notices {
    pub(super) rebalances: VecDeque<Rebalance>,
    pub(super) errors: VecDeque<(Option<RDKafkaErrorCode>, String)>,
    /// Whether the coordinator of the group has turned out not to know the protocol of KIP-848.
    pub(super) lacks_protocol: bool,
    /// How often anything was noted: whether a poll has found something.
    pub(super) noted: u64,
    /// What became of the commit that was under way.
    pub(super) committed: Option<Result<(), KafkaError>>,
    /// What the client says of itself, once a second.
    pub(super) statistics: Option<Statistics>,
}

/// The most errors kept until the poll thread looks: a storm repeats itself.
const MAX_ERRORS: usize = 64;

/// What librdkafka logs of a coordinator that does not know the protocol of KIP-848 (its `rdkafka_request.c`).
const LACKS_PROTOCOL: &str = "ConsumerGroupHeartbeatRequest not supported by broker";

/// The consumer's callbacks.
pub(super) struct Context {
    pub(super) notices: Arc<Mutex<Notices>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let mut notices = self.notices.lock();
        notices.noted += 1;
        notices.lacks_protocol |= facility == "COORD" && message.contains(LACKS_PROTOCOL);
        drop(notices);
        log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let statistics = Statistics::read(statistics);
        let mut notices = self.notices.lock();
        notices.noted += 1;
        notices.statistics = statistics;
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // An event that was asked for, and no error: whoever reads the partition gets it too.
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

impl ConsumerContext for Context {
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

/// What librdkafka says of a client certificate that the broker will not accept; then it cannot connect, which is said.
const FOREIGN_CERTIFICATE: &str = "No matching issuer found in server trusted certificate authorities";

/// librdkafka's own log, in ours. What has failed (`FAIL`, `ERROR`) it tells as an error as well, which becomes a condition.
pub(in crate::kafka) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        _ if matches!(facility, "FAIL" | "ERROR") || message.contains(FOREIGN_CERTIFICATE) => {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => {
            static THROTTLE: LazyLock<Mutex<LogThrottle>> = LazyLock::new(Mutex::default);
            // What has happened is the same, whatever the numbers in it.
            let alike: String = message.chars().filter(|c| !c.is_ascii_digit()).collect();
            if let Some(repeated) = THROTTLE.lock().tell(&alike, Instant::now()) {
                tracing::warn!(target: "librdkafka", facility, repeated, "{message}");
            }
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}
