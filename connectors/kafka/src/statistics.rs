//! The part of librdkafka's statistics (its STATISTICS.md) that Lockstep reads once a second.

use std::collections::HashMap;
use std::time::Duration;

use lockstep_engine::ingest::source::PartitionEnd;
use lockstep_engine::position::NextOffset;
use serde::Deserialize;

/// The silence in microseconds after which a broker that owes an answer counts as disconnected.
const ANSWERS_WITHIN: i64 = 5_000_000;

/// The statistics of a client.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ClientStatistics {
    #[serde(default)]
    brokers: HashMap<String, BrokerStatistics>,
    #[serde(default)]
    pub(super) topics: HashMap<String, TopicStatistics>,
    /// The consumer group; none for a producer.
    pub(super) cgrp: Option<GroupState>,
}

#[derive(Debug, Deserialize)]
struct BrokerStatistics {
    #[serde(default = "unknown_id")]
    nodeid: i32,
    #[serde(default)]
    state: String,
    #[serde(default)]
    source: String,
    /// The number of requests without an answer.
    #[serde(default)]
    waitresp_cnt: i64,
    /// The time since the last answer, in microseconds.
    #[serde(default = "unknown")]
    rxidle: i64,
    #[serde(default)]
    throttle: Throttle,
}

/// The delays of the client by the broker since the last statistics, in milliseconds.
#[derive(Debug, Default, Deserialize)]
struct Throttle {
    #[serde(default)]
    max: i64,
}

/// The statistics of a topic.
#[derive(Debug, Deserialize)]
pub(super) struct TopicStatistics {
    #[serde(default)]
    pub(super) partitions: HashMap<String, PartitionStatistics>,
}

/// The statistics of a partition.
#[derive(Debug, Deserialize)]
pub(super) struct PartitionStatistics {
    /// Negative for the queue in which a producer keeps records whose partition is not known yet.
    pub(super) partition: i32,
    #[serde(default = "unknown_id")]
    leader: i32,
    #[serde(default = "unknown")]
    hi_offset: i64,
    #[serde(default = "unknown")]
    ls_offset: i64,
    /// The metadata of the brokers does not contain it yet: it was assigned before the client received them.
    #[serde(default)]
    unknown: bool,
    /// The offset of the next fetch: behind markers of transactions and records of aborted ones.
    #[serde(default = "unknown")]
    next_offset: i64,
    /// The number of records that were fetched and not read.
    #[serde(default)]
    fetchq_cnt: i64,
    /// The number of records that wait to be sent.
    #[serde(default)]
    pub(super) msgq_cnt: i64,
    /// The number of records in the next request.
    #[serde(default)]
    pub(super) xmit_msgq_cnt: i64,
    /// The number of records that were sent and not acknowledged.
    #[serde(default)]
    pub(super) msgs_inflight: i64,
    /// The id of the last acknowledged record.
    #[serde(default)]
    pub(super) acked_msgid: i64,
}

/// The state of the consumer group.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct GroupState {
    /// `up` when the coordinator is known and connected.
    #[serde(default)]
    pub(super) state: String,
    /// `steady` while no rebalance is in progress.
    #[serde(default)]
    pub(super) join_state: String,
}

fn unknown() -> i64 {
    -1
}

fn unknown_id() -> i32 {
    -1
}

impl ClientStatistics {
    /// Parses statistics; none if they cannot be parsed.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json)
            .inspect_err(|error| tracing::debug!(%error, "librdkafka's statistics cannot be read"))
            .ok()
    }

    /// Returns true if a connection to any broker works.
    pub(super) fn is_connected(&self) -> bool {
        self.brokers.values().any(|broker| broker.source != "internal" && broker.is_up())
    }

    /// Returns true if the leader of a partition is known and the connection to it works.
    pub(super) fn is_reachable(&self, topic: &str, number: i32) -> bool {
        let partition = self.topics.get(topic).and_then(|topic| topic.partitions.get(&number.to_string()));
        let leader = partition.map_or(-1, |partition| partition.leader);
        leader >= 0
            && self
                .brokers
                .values()
                .any(|broker| broker.nodeid == leader && broker.source != "logical" && broker.is_up())
    }

    /// The longest delay by which a broker has throttled the client since the last statistics.
    pub(super) fn throttled(&self) -> Duration {
        let longest = self.brokers.values().map(|broker| broker.throttle.max).max();
        Duration::from_millis(longest.and_then(|millis| u64::try_from(millis).ok()).unwrap_or(0))
    }

    /// Returns true if a producer has no records to send.
    pub(super) fn is_idle(&self) -> bool {
        self.topics
            .values()
            .flat_map(|topic| topic.partitions.values())
            .all(|partition| partition.msgq_cnt + partition.xmit_msgq_cnt + partition.msgs_inflight == 0)
    }

    /// The number of partitions of a topic; none if the client does not know it.
    pub(super) fn partitions(&self, topic: &str) -> Option<i32> {
        let known = self.topics.get(topic)?.partitions.values();
        let count = known.filter(|partition| partition.partition >= 0 && !partition.unknown).count();
        i32::try_from(count).ok().filter(|count| *count > 0)
    }

    /// The end and the lag of a partition that was read up to `next`.
    pub(super) fn end(&self, topic: &str, number: i32, next: NextOffset) -> Option<PartitionEnd> {
        self.topics.get(topic)?.partitions.get(&number.to_string())?.end(next)
    }
}

impl PartitionStatistics {
    fn end(&self, next: NextOffset) -> Option<PartitionEnd> {
        // A reader of committed records reads up to the last stable offset.
        let stable = if self.ls_offset >= 0 { self.ls_offset } else { self.hi_offset };
        if stable < 0 {
            return None;
        }
        // No fetched record is left, so all offsets before that were read, or are not for readers.
        let next = if self.fetchq_cnt == 0 { next.0.max(self.next_offset) } else { next.0 };
        let lag = stable.saturating_sub(next).max(0);
        Some(PartitionEnd { lag, stable: NextOffset(stable), high: NextOffset(self.hi_offset.max(stable)) })
    }
}

impl BrokerStatistics {
    fn is_up(&self) -> bool {
        // UPDATE: connected, and about to resolve its name again. Brokers answer fetches at once or after 100 ms. A frozen broker, or one
        // behind a network that drops all packets, stays connected until a request times out.
        matches!(self.state.as_str(), "UP" | "UPDATE")
            && (self.waitresp_cnt == 0 || self.rxidle < ANSWERS_WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(partitions: &str) -> ClientStatistics {
        let json = format!(r#"{{"topics":{{"t":{{"partitions":{{{partitions}}}}}}},"more":{{}}}}"#);
        ClientStatistics::read(json.as_bytes()).expect("reads")
    }

    fn end(lag: i64, stable: i64, high: i64) -> Option<PartitionEnd> {
        Some(PartitionEnd { lag, stable: NextOffset(stable), high: NextOffset(high) })
    }

    #[test]
    fn end_of_a_partition_is_its_last_stable_offset_if_known() {
        let known = partitions(
            r#""0":{"partition":0,"hi_offset":9,"ls_offset":7,"other":1},
               "1":{"partition":1,"hi_offset":5,"ls_offset":-1001},
               "2":{"partition":2,"unknown":true},
               "-1":{"partition":-1,"hi_offset":-1001,"ls_offset":-1001}"#,
        );
        assert_eq!(known.end("t", 0, NextOffset(3)), end(4, 7, 9));
        assert_eq!(known.end("t", 1, NextOffset(3)), end(2, 5, 5));
        assert_eq!(known.end("t", 2, NextOffset(3)), None);
        assert_eq!(known.end("t", 4, NextOffset(3)), None);
        assert_eq!((known.partitions("t"), known.partitions("u")), (Some(2), None));
    }

    /// Statistics of librdkafka 2.16 behind a transaction of 50 records, an aborted one of 50, and an open one.
    #[test]
    fn lag_leaves_out_markers_and_aborted_records() {
        let known = partitions(
            r#""0":{"partition":0,"next_offset":102,"app_offset":50,"ls_offset":102,"hi_offset":133,"fetchq_cnt":0}"#,
        );
        assert_eq!(known.end("t", 0, NextOffset(50)), end(0, 102, 133));
        let fetched = partitions(
            r#""0":{"partition":0,"next_offset":102,"ls_offset":102,"hi_offset":102,"fetchq_cnt":20}"#,
        );
        assert_eq!(fetched.end("t", 0, NextOffset(30)), end(72, 102, 102));
    }

    #[test]
    fn partition_is_reachable_while_its_leader_is_connected() {
        let json = br#"{"brokers":{
            "a:1/1":{"nodeid":1,"state":"UP","source":"learned"},
            "b:1/2":{"nodeid":2,"state":"CONNECT","source":"learned"},
            ":0/internal":{"nodeid":-1,"state":"UP","source":"internal"}},
            "topics":{"t":{"partitions":{
            "0":{"partition":0,"leader":1},"1":{"partition":1,"leader":2},"2":{"partition":2,"leader":-1}}}}}"#;
        let statistics = ClientStatistics::read(json).expect("reads");
        assert!(statistics.is_connected() && statistics.is_reachable("t", 0));
        assert!(!statistics.is_reachable("t", 1) && !statistics.is_reachable("t", 2));
        assert!(!statistics.is_reachable("t", 3) && !statistics.is_reachable("u", 0));
        let none = br#"{"brokers":{":0/internal":{"nodeid":-1,"state":"UP","source":"internal"}}}"#;
        assert!(!ClientStatistics::read(none).expect("reads").is_connected());
    }
}
