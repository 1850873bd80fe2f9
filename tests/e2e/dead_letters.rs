//! Dead letters, and `lockstep dlq` on them.

use std::collections::BTreeSet;

use bytes::Bytes;
use lockstep_engine::time::Timestamp;
use lockstep_kafka::tail::TailRecord;
use serde_json::Value;

use crate::broker::{Broker, Producer, header};
use crate::pipeline::{BYTES, Pipeline};
use crate::process::{Ended, Lockstep};

over_each_broker!(
    dead_letter_put_back_after_a_fix_gets_its_result,
    replay_puts_each_dead_letter_back_once,
    replay_resumes_after_a_stop_and_survives_a_kill,
);

/// `lockstep dlq ACTION` about a topic.
fn dlq(broker: &Broker, action: &str, topic: &str, more: &[&str]) -> Ended {
    let args = [&["dlq", action, topic, "--brokers", &broker.address], more].concat();
    Lockstep::run(&args, &[])
}

/// The same, which must succeed and say this.
fn says(broker: &Broker, action: &str, topic: &str, more: &[&str], words: &[&str]) -> String {
    let ended = dlq(broker, action, topic, more);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for words in words {
        assert!(ended.out.contains(words), "no {words:?} in {ended:?}");
    }
    ended.out
}

fn json(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn send(
    producer: &mut Producer,
    pipeline: &Pipeline<'_>,
    stream: &str,
    content_type: &str,
    value: &'static [u8],
) -> String {
    let time = Timestamp::now().to_string();
    let headers = [("content-type", content_type.to_owned()), ("ce_time", time.clone())];
    producer.send(&pipeline.topic("bytes"), Some(stream), &headers, Bytes::from_static(value));
    time
}

fn dead_letter_put_back_after_a_fix_gets_its_result(broker: &Broker) {
    const BINARY: &str = "application/octet-stream";
    const VALUE: &[u8] = b"more than 8 bytes";
    let fixed = BYTES.replace("length = 16", "length = 17");
    let strict = fixed.replace("octet-stream\"", "octet-stream\"\nmax_bytes = 8");
    let pipeline = Pipeline::of(broker, &strict);
    pipeline.create_topics(&["bytes"], 1);
    let (input, dead) = (pipeline.topic("bytes"), pipeline.topic("dead-letters"));
    let mut producer = broker.producer();
    let time = send(&mut producer, &pipeline, "cam-1", BINARY, VALUE);
    send(&mut producer, &pipeline, "cam-2", "video/unheard-of", b"short");
    producer.finish();
    let mut run = pipeline.run(&[]);
    let mut letters = broker.follow(&dead);
    letters.count(&mut run, 2);
    assert_eq!(run.terminate().code, Some(0));
    assert_eq!(header(&letters.records[0], "lockstep-attempts"), "1");

    says(
        broker,
        "list",
        &dead,
        &[],
        &["2 dead letters", "1 oversized", "1 unknown-content-type", "bytes/0@0"],
    );
    let listed = json(&says(broker, "list", &dead, &["--json", "--stream", "cam-1"], &[]));
    assert_eq!((listed.len(), &listed[0]["reason"]), (1, &"oversized".into()), "{listed:?}");
    assert_eq!(listed[0]["source"]["topic"], Value::from(input.as_str()), "{listed:?}");
    let shown =
        says(broker, "show", &dead, &["0:0"], &["came from", "content-type: application/octet-stream"]);
    assert!(shown.contains(&format!("{input} partition 0 offset 0")), "{shown}");
    let value = dlq(broker, "show", &dead, &["0:0", "--value", "-"]);
    assert_eq!(value.out.trim_end().as_bytes(), VALUE, "{value:?}");

    let unsaid = dlq(broker, "replay", &dead, &[]);
    assert_eq!(unsaid.code, Some(1), "{unsaid:?}");
    assert!(unsaid.err.contains("no dead letters are chosen"), "{unsaid:?}");
    let counted = format!("1 dead letter: 1 oversized to {input}");
    says(broker, "replay", &dead, &["--reason", "oversized", "--dry-run"], &["Would put back", &counted]);
    says(broker, "replay", &dead, &["--reason", "oversized"], &["Put back", &counted]);
    says(
        broker,
        "list",
        &dead,
        &[],
        &["1 dead letter: 1 unknown-content-type; 1 dead letter put back already"],
    );

    let mut run = pipeline.run_file(&pipeline.again("fixed.toml", &fixed), &[]);
    let mut results = broker.follow(&pipeline.topic("results"));
    results.count(&mut run, 1);
    let result = &results.json()[0];
    assert_eq!(
        (&result["stream"], &result["event_time"]),
        (&"cam-1".into(), &time.as_str().into()),
        "{result}"
    );
    assert_eq!(result["inputs"]["bytes"]["samples"][0]["offset"], 2, "{result}");

    says(
        broker,
        "replay",
        &dead,
        &["--reason", "oversized"],
        &["Nothing to put back; 1 dead letter put back already"],
    );
    // The other record is dead-lettered again, with the number of replays. The next dead letter is the next record.
    says(
        broker,
        "replay",
        &dead,
        &["--all"],
        &["1 dead letter: 1 unknown-content-type", "1 dead letter put back already"],
    );
    letters.count(&mut run, 3);
    assert_eq!(header(&letters.records[2], "lockstep-replays"), "1");
    says(broker, "list", &dead, &[], &["put back once before", "2 dead letters put back already"]);
    let mut producer = broker.producer();
    send(&mut producer, &pipeline, "cam-3", BINARY, VALUE);
    producer.finish();
    results.count(&mut run, 2);
    assert_eq!(results.json()[1]["stream"], "cam-3");
    assert_eq!(run.terminate().code, Some(0));
}

/// Fills a topic with dead letters as Lockstep writes them, each with its number.
fn send_letters<'t>(broker: &Broker, dead: &str, count: usize, source: impl Fn(usize) -> &'t str) {
    let mut producer = broker.producer();
    for number in 0..count {
        let headers = [
            ("number", number.to_string()),
            ("lockstep-reason", ["oversized", "model-failed", "undecodable"][number % 3].into()),
            ("lockstep-stage", "infer".into()),
            ("lockstep-source-topic", source(number).into()),
            ("lockstep-source-partition", (number % 2).to_string()),
            ("lockstep-source-offset", number.to_string()),
        ];
        producer.send(dead, Some(&format!("cam-{}", number % 11)), &headers, Bytes::from_static(b"x"));
    }
    producer.finish();
}

fn number(record: &TailRecord) -> usize {
    header(record, "number").parse().expect("a number")
}

fn replay_puts_each_dead_letter_back_once(broker: &Broker) {
    const LETTERS: usize = 600;
    let pipeline = Pipeline::of(broker, BYTES);
    pipeline.create_topics(&["bytes"], 3);
    let (input, dead) = (pipeline.topic("bytes"), pipeline.topic("dead-letters"));
    send_letters(broker, &dead, LETTERS, |number| if number == 7 { "nowhere" } else { &input });

    let places: Vec<String> = json(&says(broker, "list", &dead, &["--json", "--stage", "infer"], &[]))
        .iter()
        .map(|letter| format!("{}:{}", letter["partition"], letter["offset"]))
        .collect();
    assert_eq!(places.len(), LETTERS);
    let by_place = [places[5].as_str(), places[300].as_str(), places[599].as_str()];
    for _ in 0..2 {
        // Those of before are skipped by each of these, and by themselves the second time.
        dlq(broker, "replay", &dead, &by_place);
        dlq(broker, "replay", &dead, &["--reason", "model-failed"]);
        dlq(broker, "replay", &dead, &["--stream", "cam-4", "--reason", "oversized"]);
    }
    let rest = dlq(broker, "replay", &dead, &["--all"]);
    assert_eq!(rest.code, Some(1), "{rest:?}");
    assert!(rest.err.contains("the topic nowhere") && rest.err.matches("error:").count() == 1, "{rest:?}");
    says(broker, "list", &dead, &[], &["1 dead letter: 1 ", "599 dead letters put back already"]);

    let mut back = broker.follow(&input);
    back.until(&mut [], |records| records.len() >= LETTERS - 1);
    let nothing = says(broker, "replay", &dead, &["--reason", "oversized"], &["Nothing to put back"]);
    assert!(nothing.contains("dead letters put back already"), "{nothing}");
    let again = says(broker, "replay", &dead, &[&places[5], "--again"], &["Put back 1 dead letter"]);
    assert!(!again.contains("already"), "{again}");
    back.until(&mut [], |records| records.len() >= LETTERS);
    let mut numbers: Vec<usize> = back.records.iter().map(number).collect();
    for (record, number) in back.records.iter().zip(&numbers) {
        assert_eq!(record.partition as usize, number % 2, "into the partition that it came from");
    }
    numbers.pop();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..LETTERS).filter(|number| *number != 7).collect::<Vec<_>>());
}

fn replay_resumes_after_a_stop_and_survives_a_kill(broker: &Broker) {
    const LETTERS: usize = 6000;
    let pipeline = Pipeline::of(broker, BYTES);
    pipeline.create_topics(&["bytes"], 2);
    let (input, dead) = (pipeline.topic("bytes"), pipeline.topic("dead-letters"));
    send_letters(broker, &dead, LETTERS, |_| &input);
    let mut back = broker.follow(&input);
    let start = || Lockstep::start(&["dlq", "replay", &dead, "--brokers", &broker.address, "--all"], &[], "");

    let running = start();
    back.until(&mut [], |records| !records.is_empty());
    let stopped = running.terminate();
    assert!(matches!(stopped.code, Some(0 | 130)), "{stopped:?}");
    let left: usize = json(&says(broker, "list", &dead, &["--json"], &[])).len();
    let running = start();
    if left > 0 {
        // What the first has put back, and the first of the second: none of it twice.
        back.until(&mut [], |records| records.len() > LETTERS - left);
        let unlike: BTreeSet<usize> = back.records.iter().map(number).collect();
        assert_eq!(unlike.len(), back.records.len(), "put back twice");
    }
    running.kill();

    let last = start().wait();
    assert_eq!(last.code, Some(0), "{last:?}");
    back.until(&mut [], |records| records.iter().map(number).collect::<BTreeSet<_>>().len() == LETTERS);
    says(broker, "replay", &dead, &["--all"], &["Nothing to put back; 6000 dead letters put back already"]);
    assert!(back.records.len() <= LETTERS + 256, "{} were put back", back.records.len());
}
