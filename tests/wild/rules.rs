//! Clocks that step, records of one moment, and machines that are busy.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::broker::{Broker, Producer};
use crate::pipeline::{BYTES, Pipeline};

/// Two inputs of which the first leads, as plain as [`BYTES`].
const PAIRS: &str = r#"
[pipeline]
name = "NAME"
[kafka]
brokers = "127.0.0.1:9092"
[inputs.left]
content_type = "application/octet-stream"
[inputs.right]
content_type = "application/octet-stream"
[align]
pivot = "left"
[align.right]
nearest = { tolerance = "1s" }
required = false
[models]
repository = "../models"
[steps.identity]
model = "identity"
[steps.identity.inputs]
payload = { from = "left", bytes = { length = 16 } }
"#;

fn send(producer: &mut Producer, topic: &str, headers: &[(&str, String)]) {
    producer.send(topic, Some("cam-1"), headers, Bytes::from_static(&[7; 16]));
}

#[test]
fn each_record_of_one_millisecond_has_a_result() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let pipeline = Pipeline::of(&broker, BYTES);
    pipeline.create_topics(&["bytes"], 3);
    let time = |header: &'static str| (header, "1772366400250000000".to_owned());
    // A key and a value and nothing else; then the same event time said by each, and an id that comes twice.
    let mut producer = broker.producer();
    (0..2_000).for_each(|_| send(&mut producer, &pipeline.topic("bytes"), &[]));
    (0..300).for_each(|_| send(&mut producer, &pipeline.topic("bytes"), &[time("event-time-ns")]));
    for number in (0..50).chain(0..50) {
        let headers = [time("event-time-ns"), ("ce_id", format!("frame-{number}"))];
        producer.send(&pipeline.topic("bytes"), Some("cam-2"), &headers, Bytes::from_static(&[7; 16]));
    }
    producer.finish();

    let ended = pipeline.run_until_end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut results = broker.follow(&pipeline.topic("results"));
    results.until(&mut [], |all| all.len() >= 2_050);
    results.for_now();
    let ids: BTreeSet<String> = results.json().iter().map(|result| result["id"].to_string()).collect();
    // The second 300 have an earlier time than the first 2000 of their stream: outliers, until they are taken for a step.
    assert_eq!(ids.len(), results.records.len(), "each result has an id of its own");
    assert_eq!(results.records.len(), 2_350, "{}", ended.err);
    assert!(ended.err.contains("outcome=\"duplicate\" records=50"), "{}", ended.err);
    assert!(ended.err.contains("outcome=\"in-results\" records=2350"), "{}", ended.err);
}

#[test]
fn a_duplicate_that_is_meant_is_counted_and_told() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let pipeline = Pipeline::of(&broker, PAIRS);
    pipeline.create_topics(&["left", "right"], 1);
    let mut producer = broker.producer();
    for header in ["1772366400250000000", "1772366400250000000", "1772366400290000000"] {
        send(&mut producer, &pipeline.topic("left"), &[("event-time-ns", header.to_owned())]);
    }
    producer.finish();
    let ended = pipeline.run_until_end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut results = broker.follow(&pipeline.topic("results"));
    results.until(&mut [], |all| all.len() >= 2);
    results.for_now();
    let ids: Vec<_> = results.json().iter().map(|result| result["id"].as_str().map(str::to_owned)).collect();
    let expected = ["cam-1@1772366400250000000", "cam-1@1772366400290000000"];
    assert_eq!(ids, expected.map(|id| Some(id.to_owned())), "{}", ended.err);
    assert!(ended.err.contains("samples dropped as duplicates"), "{}", ended.err);
    assert!(ended.err.contains("outcome=\"duplicate\" records=1"), "{}", ended.err);
}

#[test]
fn records_of_one_millisecond_have_one_result_after_a_kill() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let text = format!("{BYTES}\n[delivery]\nguarantee = \"exactly-once\"");
    let text = text.replace("name = \"NAME\"", "name = \"NAME\"\nshards = 2");
    let pipeline = Pipeline::of(&broker, &text);
    pipeline.create_topics(&["bytes"], 1);
    let mut results = broker.follow(&pipeline.topic("results"));
    let mut producer = broker.producer();
    (0..3_000).for_each(|_| send(&mut producer, &pipeline.topic("bytes"), &[]));
    producer.finish();
    let mut process = pipeline.run(&[]);
    results.until(&mut [&mut process], |all| !all.is_empty());
    drop(process.kill());
    let mut process = pipeline.run(&[]);
    let mut producer = broker.producer();
    (0..1_000).for_each(|_| send(&mut producer, &pipeline.topic("bytes"), &[]));
    producer.finish();
    results.until(&mut [&mut process], |all| all.len() >= 4_000);
    results.for_now();
    assert_eq!(process.terminate().code, Some(0));
    let offsets: Vec<i64> = results
        .json()
        .iter()
        .map(|result| result["inputs"]["bytes"]["samples"][0]["offset"].as_i64().expect("an offset"))
        .collect();
    assert_eq!(offsets, (0..4_000).collect::<Vec<i64>>(), "each once, in order");
}

#[test]
fn a_wall_clock_that_steps_by_an_hour_stalls_nothing() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let text = format!("{BYTES}\n[delivery]\nguarantee = \"exactly-once\"");
    let pipeline = Pipeline::of(&broker, &text);
    pipeline.create_topics(&["bytes"], 1);
    let directory = tempfile::tempdir().expect("a directory");
    let clock = directory.path().join("clock");
    let mut process = pipeline.run(&[("LOCKSTEP_WALL_CLOCK", clock.to_str().expect("UTF-8"))]);
    let mut results = broker.follow(&pipeline.topic("results"));
    let hour = 3_600_000_000_000_i64;
    let mut sent = 0;
    for ahead_ns in [-hour, hour, 0] {
        let mut producer = broker.producer();
        (0..500).for_each(|_| send(&mut producer, &pipeline.topic("bytes"), &[]));
        // Some of these are under way, and wait for their batch, their transaction and their commit.
        std::fs::write(&clock, ahead_ns.to_string()).expect("it can be written");
        process.says(&format!("stepped the wall clock ahead_ns={ahead_ns}"));
        (0..500).for_each(|_| send(&mut producer, &pipeline.topic("bytes"), &[]));
        producer.finish();
        sent += 1_000;
        results.until(&mut [&mut process], |all| all.len() >= sent);
    }
    let ended = process.terminate();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    results.for_now();
    assert_eq!(results.records.len(), sent, "each once, and none refused for its time");
    for result in results.json() {
        // The time in Kafka is between two wall clocks: that of the producer, and this one.
        let mut parts = result["timing_ns"].as_object().expect("an object").clone();
        parts.remove("kafka");
        assert!(
            parts.values().all(|part| part.as_i64().is_some_and(|part| (0..hour).contains(&part))),
            "{result}"
        );
    }
    // Committed records are not read again.
    let again = pipeline.run_until_end();
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.err.contains("read up to the ends results=0"), "{}", again.err);
}
