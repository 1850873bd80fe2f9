//! What becomes of missing rights: each is named with its resource, once, and the pipeline goes on when it is granted.

use std::collections::BTreeMap;
use std::process::Command;

use lockstep_engine::ingest::wire;
use lockstep_engine::time::Timestamp;
use lockstep_kafka::admin::set_topic;

use super::secured::{Pipeline, Secured, blocked_lines, until_health};
use crate::broker::header;
use crate::process::{Lockstep, PATIENCE};

pub(super) const LIMITED: [(&str, &str); 4] = [
    ("security.protocol", "sasl_plaintext"),
    ("sasl.mechanism", "SCRAM-SHA-256"),
    ("sasl.username", "limited"),
    ("sasl.password", "right-password"),
];

/// All the rights that `lockstep run` needs, as the docs list them.
pub(super) fn rights(pipeline: &Pipeline) -> Vec<(String, String)> {
    let topic = |what: &str| format!("TOPIC {}", pipeline.topic(what));
    vec![
        ("READ".into(), topic("events")),
        ("READ".into(), format!("GROUP {}", pipeline.name)),
        ("WRITE".into(), topic("results")),
        ("WRITE".into(), topic("dead-letters")),
        ("WRITE".into(), topic("late")),
    ]
}

impl Secured {
    /// Adds or removes access rules, as `add User:limited READ TOPIC name`.
    fn acl(&self, rules: &[&str]) {
        let words: Vec<&str> = rules.iter().flat_map(|rule| rule.split(' ')).collect();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/config/kafka/kafka");
        let done = Command::new(script).arg("acl").arg(self.address("plaintext")).args(words).status();
        assert!(done.expect("it starts").success(), "rules could not be changed: {rules:?}");
    }
}

pub(super) fn change(broker: &Secured, how: &str, rights: &[(String, String)]) {
    let rules: Vec<String> =
        rights.iter().map(|(right, on)| format!("{how} User:limited {right} {on}")).collect();
    broker.acl(&rules.iter().map(String::as_str).collect::<Vec<_>>());
}

fn send(broker: &Secured, pipeline: &Pipeline, count: u8) {
    let client = broker.client();
    let mut producer = client.producer();
    for number in 0..count {
        let time = [("ce_time", format!("2026-03-01T12:00:00.{number:03}Z"))];
        producer.send(&pipeline.topic("events"), Some("k"), &time, vec![number; 8]);
    }
    producer.finish();
}

fn results(broker: &Secured, pipeline: &Pipeline, process: &mut Lockstep, count: usize) {
    let client = broker.client();
    let mut results = client.follow(&pipeline.topic("results"));
    results.until(&mut [process], |records| records.len() >= count);
}

/// A right that is missing at the start or withdrawn later is named, and the pipeline goes on when it is granted.
fn right_that_is_missing(right: &str, kind: &str, what: &str, named: &str) {
    let Some(broker) = Secured::broker() else { return };
    let pipeline = broker.pipeline("sasl_plaintext", &LIMITED);
    let on = if kind == "GROUP" { pipeline.name.clone() } else { pipeline.topic(what) };
    let all = rights(&pipeline);
    // To be seen at all a topic needs one right at least.
    let mut granted: Vec<_> =
        all.iter().filter(|(_, on_it)| *on_it != format!("{kind} {on}")).cloned().collect();
    granted.push(("DESCRIBE".into(), format!("{kind} {on}")));
    change(&broker, "add", &granted);
    send(&broker, &pipeline, 100);
    let mut process = pipeline.run();
    let cause = format!("the right {right} on {named} {on} is missing");
    process.says(&cause);
    let trouble = until_health(&mut process, |is_ready, trouble| !is_ready && trouble.contains(&cause));
    assert!(trouble.contains("grant it"), "{trouble}");
    let log = process.says("still blocked");
    assert_eq!(blocked_lines(&log, &cause), 1, "{log}");
    let lines = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count();
    assert!(lines <= 4, "{lines} lines: {log}");
    change(&broker, "add", &[(right.into(), format!("{kind} {on}"))]);
    results(&broker, &pipeline, &mut process, 100);
    until_health(&mut process, |is_ready, trouble| is_ready && trouble.is_empty());
    let ended = process.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[test]
#[ignore = "slow: make wild"]
fn right_to_write_results_is_named_and_waited_for() {
    right_that_is_missing("WRITE", "TOPIC", "results", "topic");
}

#[test]
#[ignore = "slow: make wild"]
fn right_to_read_an_input_is_named_and_waited_for() {
    right_that_is_missing("READ", "TOPIC", "events", "topic");
}

#[test]
#[ignore = "slow: make wild"]
fn right_to_read_the_group_is_named_and_waited_for() {
    right_that_is_missing("READ", "GROUP", "", "group");
}

#[test]
#[ignore = "slow: make wild"]
fn topic_that_may_not_be_seen_is_not_missing() {
    let Some(broker) = Secured::broker() else { return };
    let pipeline = broker.pipeline("sasl_plaintext", &LIMITED);
    let seen: Vec<_> = rights(&pipeline).into_iter().filter(|(_, on)| !on.ends_with(".events")).collect();
    change(&broker, "add", &seen);
    let mut process = pipeline.run();
    let cause = format!("the right READ on topic {} is missing", pipeline.topic("events"));
    let log = process.says(&cause);
    assert!(!log.contains("does not exist"), "{log}");
    until_health(&mut process, |is_ready, trouble| !is_ready && trouble.contains(&cause));
    change(&broker, "add", &[("READ".into(), format!("TOPIC {}", pipeline.topic("events")))]);
    send(&broker, &pipeline, 10);
    results(&broker, &pipeline, &mut process, 10);
    assert_eq!(process.terminate().code, Some(0));
}

#[test]
#[ignore = "slow: make wild"]
fn input_that_may_not_be_read_is_not_silent() {
    let Some(broker) = Secured::broker() else { return };
    let pipeline = broker.pipeline_of_two("sasl_plaintext", &LIMITED);
    let other = format!("TOPIC {}", pipeline.topic("other"));
    change(&broker, "add", &rights(&pipeline));
    change(&broker, "add", &[("DESCRIBE".into(), other.clone())]);
    let client = broker.client();
    let mut producer = client.producer();
    for number in 0..20_u8 {
        let time = [("ce_time", format!("2026-03-01T12:00:00.{number:02}Z"))];
        producer.send(&pipeline.topic("events"), Some("k"), &time, vec![number; 8]);
        producer.send(&pipeline.topic("other"), Some("k"), &time, vec![number; 8]);
    }
    producer.finish();
    let mut process = pipeline.run();
    let cause = format!("the right READ on topic {} is missing", pipeline.topic("other"));
    // Longer than any wait of the pipeline's: it has nothing to say of the other input's silence.
    process.says(&cause);
    process.says("still blocked");
    let mut results = client.follow(&pipeline.topic("results"));
    results.for_now();
    assert_eq!(results.records.len(), 0, "bundles went out without an input that may not be read");
    change(&broker, "add", &[("READ".into(), other)]);
    results.count(&mut process, 20);
    for result in results.json() {
        assert_eq!(result["complete"], true, "{result}");
    }
    assert_eq!(process.terminate().code, Some(0));
}

/// A client without the right to read a topic's settings finds the refused record from refusals alone.
#[test]
#[ignore = "slow: make wild"]
fn transaction_finds_the_refused_record_without_the_reason() {
    let Some(broker) = Secured::broker() else { return };
    let pipeline = broker.pipeline("sasl_plaintext", &LIMITED);
    let config = std::fs::read_to_string(&pipeline.config).expect("it is there");
    let config = format!("{config}[delivery]\nguarantee = \"exactly-once\"\n");
    std::fs::write(&pipeline.config, config).expect("it is written");
    change(&broker, "add", &rights(&pipeline));
    change(&broker, "add", &[("WRITE".into(), "TRANSACTIONAL_ID lockstep-*".into())]);
    let hour = [("message.timestamp.before.max.ms", "3600000")];
    set_topic(&broker.address("plaintext"), &BTreeMap::new(), &pipeline.topic("results"), &hour, PATIENCE)
        .expect("it is set");
    let (client, now) = (broker.client(), Timestamp::wall().as_nanos());
    let mut producer = client.producer();
    for number in 0..300_i64 {
        let (key, time) = if number == 200 { ("old", now - 7_200_000_000_000) } else { ("k", now + number) };
        let time = [("event-time-ns", time.to_string())];
        producer.send(&pipeline.topic("events"), Some(key), &time, number.to_be_bytes().to_vec());
    }
    producer.finish();
    let mut process = pipeline.run();
    results(&broker, &pipeline, &mut process, 299);
    let mut dead = client.follow(&pipeline.topic("dead-letters"));
    dead.until(&mut [&mut process], |records| records.len() == 1);
    assert_eq!(header(&dead.records[0], wire::REASON), "result-refused");
    let ended = process.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}
