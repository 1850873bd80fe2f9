//! What librdkafka says beside records. Nothing is decided in a callback: it is noted, and the poll
//! thread acts on it after the poll has returned, so that no callback can wait for anything.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use serde::Deserialize;

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
    /// The ends of partitions: the offset after the last record that can be read.
    pub(super) ends: Vec<(TopicPartition, i64)>,
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
        match serde_json::from_slice::<Statistics>(statistics) {
            Ok(statistics) => {
                let mut notices = self.notices.lock();
                notices.noted += 1;
                notices.ends = statistics.ends();
            }
            Err(error) => tracing::debug!(%error, "librdkafka's statistics cannot be read"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
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

/// librdkafka's own log, in ours.
pub(in crate::kafka) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// The part of librdkafka's statistics that tells the ends of partitions (its STATISTICS.md).
#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: std::collections::HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: std::collections::HashMap<String, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    partition: i32,
    #[serde(default = "unknown")]
    hi_offset: i64,
    #[serde(default = "unknown")]
    ls_offset: i64,
}

fn unknown() -> i64 {
    -1
}

impl Statistics {
    fn ends(self) -> Vec<(TopicPartition, i64)> {
        let mut ends = Vec::new();
        for (topic, statistics) in self.topics {
            for partition in statistics.partitions.into_values() {
                // A read_committed consumer sees no further than the last stable offset.
                let end = if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset };
                if partition.partition >= 0 && end >= 0 {
                    ends.push(((topic.clone(), partition.partition), end));
                }
            }
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_partition_is_its_last_stable_offset_if_known() {
        let json = r#"{"topics":{"t":{"partitions":{
            "0":{"partition":0,"hi_offset":9,"ls_offset":7,"other":1},
            "1":{"partition":1,"hi_offset":5,"ls_offset":-1001},
            "-1":{"partition":-1,"hi_offset":-1001,"ls_offset":-1001}}}},"more":{}}"#;
        let mut ends = serde_json::from_str::<Statistics>(json).expect("reads").ends();
        ends.sort();
        assert_eq!(ends, [(("t".to_owned(), 0), 7), (("t".to_owned(), 1), 5)]);
    }
}
