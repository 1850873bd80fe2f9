//! Promises of the sink, over a broker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Broker, PATIENCE, Reader, Writer};
use lockstep_engine::publish::sink::{Refusal, Sink};
use lockstep_kafka::admin;

#[test]
fn sink_reports_exactly_one_delivery_for_each_record() {
    let broker = Broker::any();
    let topic = broker.topic("out", 3);
    let mut writer = Writer::start(&broker.spec("g"));
    for n in 0..5000 {
        writer.send(&topic, &format!("key-{}", n % 11), n.to_string(), &[]);
    }
    writer.flush();
    let mut tokens: Vec<u64> = writer
        .deliveries
        .lock()
        .unwrap()
        .iter()
        .map(|d| {
            assert!(d.outcome.is_ok(), "{:?}", d.outcome);
            d.token
        })
        .collect();
    tokens.sort_unstable();
    assert_eq!(tokens, (0..5000).collect::<Vec<_>>());
    assert_eq!(writer.sink.in_flight(), 0);
}

#[test]
fn sink_refuses_a_record_that_is_too_large_and_sends_others() {
    let broker = Broker::any();
    let topic = broker.topic("out", 1);
    let mut spec = broker.spec("g");
    spec.producer.insert("message.max.bytes".into(), "1000000".into());
    let mut writer = Writer::start(&spec);
    writer.send(&topic, "k", "before", &[]);
    writer.send(&topic, "k", vec![0_u8; 2 << 20], &[]);
    writer.send(&topic, "k", "after", &[]);
    writer.flush();
    let mut deliveries = writer.deliveries.lock().unwrap().clone();
    deliveries.sort_by_key(|d| d.token);
    assert_eq!(deliveries.len(), 3);
    assert!(deliveries[0].outcome.is_ok() && deliveries[2].outcome.is_ok());
    assert_eq!(deliveries[1].outcome.as_ref().expect_err("too large").refusal, Refusal::Unsent);
}

#[test]
fn dropped_sink_reports_records_in_flight_as_failed() {
    let mut spec = Broker::embedded().spec("g");
    spec.brokers = "127.0.0.1:1".into();
    let mut writer = Writer::start(&spec);
    for _ in 0..10 {
        writer.send("out", "k", "x", &[]);
    }
    assert_eq!(writer.sink.flush(Duration::ZERO), Err(10));
    let deliveries = writer.deliveries.clone();
    drop(writer);
    let deliveries = deliveries.lock().unwrap();
    assert_eq!(deliveries.len(), 10);
    assert!(deliveries.iter().all(|d| d.outcome.as_ref().is_err_and(|e| e.refusal == Refusal::Passing)));
}

#[test]
fn sink_chooses_partitions_as_java_clients_do() {
    // From Apache Kafka's UtilsTest (murmur2) and `Utils.toPositive(hash) % partitions`.
    let java =
        [("21", -973_932_308_i32), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)];
    let broker = Broker::any();
    let topic = broker.topic("out", 16);
    let spec = broker.spec("g");
    let mut writer = Writer::start(&spec);
    for (key, _) in java {
        writer.send(&topic, key, key, &[]);
    }
    writer.flush();
    let reader = Reader::start(&spec, &[&topic]);
    for record in reader.records(java.len()) {
        let key = record.key.expect("a key");
        let (_, hash) = java.iter().find(|(k, _)| k.as_bytes() == key).expect("known");
        assert_eq!(record.position.partition.partition, (hash & 0x7fff_ffff) % 16);
    }
}

#[test]
fn partition_counts_creates_no_topic() {
    let broker = Broker::any();
    let topic = broker.topic("there", 3);
    for _ in 0..2 {
        let counts =
            admin::partition_counts(&broker.address, &BTreeMap::new(), &[&topic, "not-there"], PATIENCE);
        assert_eq!(counts.expect("answered"), [Some(3), None]);
    }
}

#[test]
fn sink_errors_contain_no_secrets() {
    let broker = Broker::embedded();
    let mut spec = broker.spec("g");
    spec.producer.insert("security.protocol".into(), "hunter2".into());
    let refused = lockstep_kafka::sink::KafkaSink::start(&spec, 1 << 20, std::sync::Arc::new(|_| {}));
    let text = refused.err().expect("refused").to_string();
    assert!(!text.contains("hunter2") && text.contains("security.protocol"), "{text}");
}
