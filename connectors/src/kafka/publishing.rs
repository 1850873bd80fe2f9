//! What keeps the sink from publishing, as conditions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_engine::condition::{Cause, Conditions, Work};
use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::connection::Connection;
use super::diagnosis;
use super::inquiry::Inquiry;
use super::statistics::{Partition, Statistics};
use super::throttling::Throttling;

/// A partition whose records wait for so long without one being acknowledged is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(3);

/// Shared by the sink, its client's callbacks and its transactions.
#[derive(Clone)]
pub(super) struct Publishing {
    conditions: Arc<dyn Conditions>,
    state: Arc<Mutex<State>>,
}

struct State {
    connection: Connection,
    /// Partitions with records that wait: what was last acknowledged, and since when nothing more is.
    waiting: HashMap<(String, i32), (i64, Instant)>,
    /// Topics of which a partition is stuck.
    stuck: BTreeMap<String, ()>,
    throttling: Throttling,
}

impl Publishing {
    pub(super) fn new(conditions: Arc<dyn Conditions>, inquiry: Inquiry) -> Self {
        let connection = Connection::new("producer", conditions.clone(), inquiry);
        let state = State {
            connection,
            waiting: HashMap::new(),
            stuck: BTreeMap::new(),
            throttling: Throttling::of_producer(),
        };
        Self { conditions, state: Arc::new(Mutex::new(state)) }
    }

    /// A record of a topic has been acknowledged.
    pub(super) fn publishes(&self, topic: &str) {
        self.conditions.done(Work::Publish, topic);
    }

    /// A record was not taken.
    pub(super) fn cannot_publish(&self, topic: &str, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        let cause = match error.rdkafka_error_code() {
            // When the client goes, it gives up what is under way. A record that is at fault itself blocks no other.
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

    /// The client has an error that is about no record.
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

    /// Looks, once a second, at what the client says of itself.
    pub(super) fn look_at(&self, statistics: &Statistics, now: Instant) {
        let state = &mut *self.state.lock();
        // Without anything to send it need not be connected.
        state.connection.look(statistics, false);
        state.throttling.look(statistics, now);
        // Then the broker answers in its own time.
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
                    // While no broker can be reached at all, that is what is said.
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

fn has_waiting(partition: &Partition) -> bool {
    partition.msgq_cnt + partition.xmit_msgq_cnt + partition.msgs_inflight > 0
}
