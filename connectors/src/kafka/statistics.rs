//! The part of librdkafka's statistics (its STATISTICS.md) that Lockstep reads once a second.

use std::collections::HashMap;

use serde::Deserialize;

/// A broker that owes an answer and sends nothing for so long, in microseconds, is away.
const ANSWERS_WITHIN: i64 = 5_000_000;

/// What a client says of itself.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Statistics {
    #[serde(default)]
    brokers: HashMap<String, Broker>,
    #[serde(default)]
    pub(super) topics: HashMap<String, Topic>,
    /// Of a consumer alone.
    pub(super) cgrp: Option<Group>,
}

#[derive(Debug, Deserialize)]
struct Broker {
    #[serde(default = "unknown_id")]
    nodeid: i32,
    #[serde(default)]
    state: String,
    #[serde(default)]
    source: String,
    /// Requests that wait for an answer.
    #[serde(default)]
    waitresp_cnt: i64,
    /// For how long nothing has come, in microseconds.
    #[serde(default = "unknown")]
    rxidle: i64,
}

/// What is known of a topic.
#[derive(Debug, Deserialize)]
pub(super) struct Topic {
    #[serde(default)]
    pub(super) partitions: HashMap<String, Partition>,
}

/// What is known of a partition.
#[derive(Debug, Deserialize)]
pub(super) struct Partition {
    /// Below 0 for the place where a producer keeps records whose partition is not known yet.
    pub(super) partition: i32,
    #[serde(default = "unknown_id")]
    leader: i32,
    #[serde(default = "unknown")]
    hi_offset: i64,
    #[serde(default = "unknown")]
    ls_offset: i64,
    /// Records that wait to be sent.
    #[serde(default)]
    pub(super) msgq_cnt: i64,
    /// Records that are to be sent with the next request.
    #[serde(default)]
    pub(super) xmit_msgq_cnt: i64,
    /// Records that have been sent and not been answered.
    #[serde(default)]
    pub(super) msgs_inflight: i64,
    /// Up to which record the broker has acknowledged.
    #[serde(default)]
    pub(super) acked_msgid: i64,
}

/// What is known of the consumer group.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Group {
    /// `up` when the coordinator is known and connected.
    #[serde(default)]
    pub(super) state: String,
    /// `steady` when the group waits for nothing.
    #[serde(default)]
    pub(super) join_state: String,
}

fn unknown() -> i64 {
    -1
}

fn unknown_id() -> i32 {
    -1
}

impl Statistics {
    /// Reads them. What cannot be read is as if nothing were known.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json)
            .inspect_err(|error| tracing::debug!(%error, "librdkafka's statistics cannot be read"))
            .ok()
    }

    /// Whether a connection to any broker works.
    pub(super) fn is_connected(&self) -> bool {
        self.brokers.values().any(|broker| broker.source != "internal" && broker.is_up())
    }

    /// Whether the leader of a partition is known and the connection to it works.
    pub(super) fn is_reachable(&self, topic: &str, number: i32) -> bool {
        let partition = self.topics.get(topic).and_then(|topic| topic.partitions.get(&number.to_string()));
        let leader = partition.map_or(-1, |partition| partition.leader);
        leader >= 0
            && self
                .brokers
                .values()
                .any(|broker| broker.nodeid == leader && broker.source != "logical" && broker.is_up())
    }

    /// Whether a producer has nothing to send.
    pub(super) fn is_idle(&self) -> bool {
        self.topics
            .values()
            .flat_map(|topic| topic.partitions.values())
            .all(|partition| partition.msgq_cnt + partition.xmit_msgq_cnt + partition.msgs_inflight == 0)
    }

    /// The ends of partitions: the offset after the last record that can be read.
    pub(super) fn ends(&self) -> Vec<((String, i32), i64)> {
        let mut ends = Vec::new();
        for (topic, statistics) in &self.topics {
            for partition in statistics.partitions.values() {
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

impl Broker {
    fn is_up(&self) -> bool {
        // UPDATE: connected, and about to look at its name again. Brokers answer fetches at once or after 100 ms: one that is
        // frozen, or behind a network that drops everything, is connected until a request times out.
        matches!(self.state.as_str(), "UP" | "UPDATE")
            && (self.waitresp_cnt == 0 || self.rxidle < ANSWERS_WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_a_partition_is_its_last_stable_offset_if_known() {
        let json = br#"{"topics":{"t":{"partitions":{
            "0":{"partition":0,"hi_offset":9,"ls_offset":7,"other":1},
            "1":{"partition":1,"hi_offset":5,"ls_offset":-1001},
            "-1":{"partition":-1,"hi_offset":-1001,"ls_offset":-1001}}}},"more":{}}"#;
        let mut ends = Statistics::read(json).expect("reads").ends();
        ends.sort();
        assert_eq!(ends, [(("t".to_owned(), 0), 7), (("t".to_owned(), 1), 5)]);
    }

    #[test]
    fn partition_is_reachable_while_its_leader_is_connected() {
        let json = br#"{"brokers":{
            "a:1/1":{"nodeid":1,"state":"UP","source":"learned"},
            "b:1/2":{"nodeid":2,"state":"CONNECT","source":"learned"},
            ":0/internal":{"nodeid":-1,"state":"UP","source":"internal"}},
            "topics":{"t":{"partitions":{
            "0":{"partition":0,"leader":1},"1":{"partition":1,"leader":2},"2":{"partition":2,"leader":-1}}}}}"#;
        let statistics = Statistics::read(json).expect("reads");
        assert!(statistics.is_connected() && statistics.is_reachable("t", 0));
        assert!(!statistics.is_reachable("t", 1) && !statistics.is_reachable("t", 2));
        assert!(!statistics.is_reachable("t", 3) && !statistics.is_reachable("u", 0));
        let none = br#"{"brokers":{":0/internal":{"nodeid":-1,"state":"UP","source":"internal"}}}"#;
        assert!(!Statistics::read(none).expect("reads").is_connected());
    }
}
