//! The conditions that keep the sink from publishing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_engine::condition::{Cause, Conditions, Work};
use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::connection::Connection;
use super::diagnosis;
use super::inquiry::Inquiry;
use super::statistics::{ClientStatistics, PartitionStatistics};
use super::throttling::Throttling;

/// The time without an acknowledgement after which a partition with waiting records is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(3);

/// The conditions, shared by the sink, the callbacks of its client, and its transactions.
#[derive(Clone)]
pub(super) struct Publishing {
    conditions: Arc<dyn Conditions>,
    state: Arc<Mutex<PublishingState>>,
}

struct PublishingState {
    connection: Connection,
    /// Partitions with waiting records: the last acknowledged message, and the time of the last progress.
    waiting: HashMap<(String, i32), (i64, Instant)>,
    /// Topics with a stuck partition.
    stuck: BTreeMap<String, ()>,
    throttling: Throttling,
}

impl Publishing {
    pub(super) fn new(conditions: Arc<dyn Conditions>, inquiry: Inquiry) -> Self {
        let connection = Connection::new("producer", conditions.clone(), inquiry);
        let state = PublishingState {
            connection,
            waiting: HashMap::new(),
            stuck: BTreeMap::new(),
            throttling: Throttling::of_producer(),
        };
        Self { conditions, state: Arc::new(Mutex::new(state)) }
    }

    /// Ends the condition of a topic of which a record was acknowledged.
    pub(super) fn publishes(&self, topic: &str) {
        self.conditions.done(Work::Publish, topic);
    }

    /// Reports the cause of a failed record.
    pub(super) fn cannot_publish(&self, topic: &str, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        let cause = match error.rdkafka_error_code() {
            // A client that is dropped purges its records. A record that is itself at fault blocks no other.
            Some(
                Code::PurgeQueue
                | Code::PurgeInflight
                | Code::MessageSizeTooLarge
                | Code::InvalidMessageSize
                | Code::MessageBatchTooLarge
                | Code::InvalidRecord
                | Code::InvalidDifferentRecord
                | Code::UnsupportedForMessageFormat
                | Code::InvalidTimestamp,
            ) => return,
            Some(Code::TopicAuthorizationFailed) => diagnosis::lacks("WRITE", &format!("topic {topic}")),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                diagnosis::absent(topic, "WRITE")
            }
            Some(Code::MessageTimedOut) => return,
            _ => diagnosis::of_error(&format!("topic {topic} takes no records"), error),
        };
        self.conditions.report(Work::Publish, topic, cause);
    }

    /// Reports an error of the client that is about no record.
    pub(super) fn client_error(&self, code: Option<RDKafkaErrorCode>, reason: &str) {
        if diagnosis::is_of_connection(code) {
            self.state.lock().connection.error(code, reason, Instant::now());
        } else if code == Some(RDKafkaErrorCode::ClusterAuthorizationFailed) {
            let cause = diagnosis::lacks("IDEMPOTENT_WRITE", "the cluster, or WRITE on a topic,");
            self.conditions.report(Work::Publish, "", cause);
        } else {
            self.conditions.report(Work::Publish, "", diagnosis::cause(code, reason));
        }
    }

    /// Observes the statistics of the client, once a second.
    pub(super) fn look_at(&self, statistics: &ClientStatistics, now: Instant) {
        let state = &mut *self.state.lock();
        // A client without records to send need not be connected.
        state.connection.look(statistics, false);
        state.throttling.look(statistics, now);
        // The broker delays its answers to a throttled client.
        let is_throttled = state.throttling.is_on(now);
        let mut waiting = HashMap::new();
        let mut stuck = BTreeMap::new();
        let mut acknowledges = false;
        for (name, topic) in &statistics.topics {
            for partition in topic.partitions.values().filter(|partition| has_waiting(partition)) {
                let key = (name.clone(), partition.partition);
                let since = match state.waiting.get(&key) {
                    Some((acknowledged, since)) if *acknowledged == partition.acked_msgid => *since,
                    _ => now,
                };
                if now.duration_since(since) >= STUCK_AFTER && !is_throttled {
                    stuck.insert(name.clone(), ());
                    let cause = if partition.partition < 0 {
                        diagnosis::absent(name, "WRITE")
                    } else if !statistics.is_reachable(name, partition.partition) {
                        Cause::passing(
                            format!("partition {} of {name} has no leader that answers", partition.partition),
                            "see that the brokers that have it run",
                        )
                    } else {
                        Cause::passing(
                            format!("the broker acknowledges no record of topic {name}"),
                            "see that enough replicas of it are in sync (min.insync.replicas)",
                        )
                    };
                    // While no broker can be reached, the connection reports that.
                    if state.connection.is_up() {
                        self.conditions.report(Work::Publish, name, cause);
                    }
                }
                waiting.insert(key, (partition.acked_msgid, since));
            }
        }
        for name in std::mem::replace(&mut state.stuck, stuck).into_keys() {
            acknowledges |= !state.stuck.contains_key(&name);
        }
        if acknowledges || statistics.is_idle() {
            self.conditions.done(Work::Publish, "");
        }
        state.waiting = waiting;
    }
}

fn has_waiting(partition: &PartitionStatistics) -> bool {
    partition.msgq_cnt + partition.xmit_msgq_cnt + partition.msgs_inflight > 0
}
