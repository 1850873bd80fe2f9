//! Promises of topic snapshots and of replay offsets, over a broker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::{Broker, PATIENCE, Writer};
use lockstep_engine::position::NextOffset;
use lockstep_engine::publish::sink::{Ended, Ending};
use lockstep_kafka::replay_offsets::ReplayOffsets;
use lockstep_kafka::tail::TailRecord;
use lockstep_kafka::topic_snapshot::{SnapshotEvent, TopicSnapshot};
use lockstep_kafka::transactional_id::TransactionalId;

/// Reads to the end, which must come.
fn all(mut snapshot: TopicSnapshot) -> Vec<TailRecord> {
    let until = Instant::now() + PATIENCE;
    let mut records = Vec::new();
    while Instant::now() < until {
        match snapshot.next(Duration::from_millis(100)).expect("it can be read") {
            SnapshotEvent::Record(record) => records.push(record),
            SnapshotEvent::Nothing => {}
            SnapshotEvent::End => return records,
        }
    }
    panic!("no end after {} records", records.len());
}

fn open(broker: &Broker, topic: &str) -> TopicSnapshot {
    TopicSnapshot::open(&broker.address, &BTreeMap::new(), topic).expect("it is there")
}

fn values(records: &[TailRecord]) -> BTreeSet<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()).collect()
}

#[test]
fn snapshot_reads_a_topic_once_from_beginning_to_end() {
    let broker = Broker::any();
    let topic = broker.topic("whole", 4);
    assert!(all(open(&broker, &topic)).is_empty(), "nothing has been sent");
    let mut writer = Writer::start(&broker.spec("g"));
    for n in 0..1000 {
        // Two partitions at most have something.
        writer.send(&topic, &format!("key-{}", n % 2), n.to_string(), &[]);
    }
    writer.flush();
    let records = all(open(&broker, &topic));
    assert_eq!(records.len(), 1000);
    assert_eq!(values(&records), (0..1000).map(|n| n.to_string()).collect());
    let one = &records[500];
    let at = |offset| {
        all(TopicSnapshot::open_at(&broker.address, &BTreeMap::new(), &topic, one.partition, offset)
            .expect("there"))
    };
    assert_eq!(values(&at(one.offset)), BTreeSet::from([String::from_utf8_lossy(&one.value).into_owned()]));
    assert!(at(5000).is_empty() && at(-1).is_empty());
    let missing =
        TopicSnapshot::open(&broker.address, &BTreeMap::new(), "no-such-topic").err().expect("not there");
    assert!(missing.to_string().contains("no topic of that name"), "{missing}");
}

#[test]
fn snapshot_ends_behind_markers_and_aborted_records() {
    let broker = Broker::any();
    let topic = broker.topic("whole", 1);
    let spec = broker.spec("g");
    let mut writer = Writer::transactional(&spec, &TransactionalId::new(&spec));
    let mut send = |value: &'static str, then: Ending| {
        writer.send(&topic, value, value, &[]);
        writer.flush();
        assert_eq!(writer.end(then), Ended::AsAsked);
    };
    send("committed", Ending::Commit(Vec::new()));
    send("aborted", Ending::Abort);
    send("last", Ending::Commit(Vec::new()));
    assert!(writer.deliveries.lock().unwrap().iter().all(|delivery| delivery.outcome.is_ok()));
    let records = all(open(&broker, &topic));
    if std::env::var("KAFKA_BOOTSTRAP_SERVERS").is_ok() {
        assert_eq!(values(&records), BTreeSet::from(["committed".into(), "last".into()]));
    }
    assert!(values(&records).contains("last"));
}

#[test]
fn replay_offsets_are_read_as_they_were_written() {
    let broker = Broker::any();
    let topic = broker.topic("noted", 3);
    let notes = || {
        let group = format!("{topic}.replay");
        ReplayOffsets::open(&broker.address, &BTreeMap::new(), &topic, &group).expect("a client")
    };
    assert_eq!(notes().read(0..3).expect("asked"), BTreeMap::new());
    let mut written =
        BTreeMap::from([(0, (NextOffset(7), "map".into())), (2, (NextOffset(0), String::new()))]);
    notes().write(&written).expect("written");
    assert_eq!(notes().read(0..3).expect("asked"), written);
    written.insert(0, (NextOffset(9), "another".into()));
    notes().write(&written).expect("written");
    assert_eq!(notes().read(0..3).expect("asked"), written);
}
