//! Retention that is faster than the pipeline.

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use lockstep_engine::time::Timestamp;

use crate::broker::Broker;
use crate::pipeline::{BYTES, Pipeline};

/// Sends records of 16 bytes with a header of 32 KiB, which the embedded broker must keep.
fn publish(broker: &Broker, pipeline: &Pipeline<'_>, count: usize) {
    let mut producer = broker.producer();
    for _ in 0..count {
        let headers = [("ce_time", Timestamp::now().to_string()), ("padding", "x".repeat(32 << 10))];
        producer.send(&pipeline.topic("bytes"), Some("stream"), &headers, Bytes::from_static(&[7; 16]));
    }
    producer.finish();
}

/// Over the embedded broker alone, which keeps 5 MiB a partition.
#[test]
fn records_that_were_deleted_unread_are_counted_and_logged() {
    const TOO_MANY: usize = 400;
    let broker = Broker::embedded();
    let pipeline = Pipeline::of(&broker, BYTES);
    pipeline.create_topics(&["bytes"], 1);
    publish(&broker, &pipeline, 5);
    let mut run = pipeline.run(&[]);
    let mut follower = broker.follow(&pipeline.topic("results"));
    follower.count(&mut run, 5);
    assert_eq!(run.terminate().code, Some(0));

    publish(&broker, &pipeline, TOO_MANY);
    let mut run = pipeline.run(&[("LOCKSTEP_HTTP", "127.0.0.1:0")]);
    let last = (5 + TOO_MANY - 1) as i64;
    let offset = |record: &lockstep_kafka::tail::TailRecord| {
        let result: serde_json::Value = serde_json::from_slice(&record.value).expect("JSON");
        result["inputs"]["bytes"]["samples"][0]["offset"].as_i64().expect("an offset")
    };
    follower.until(&mut [&mut run], |records| records.last().is_some_and(|record| offset(record) == last));
    let log = run.says("were read");
    let first = offset(&follower.records[5]);
    let lost = first - 5;
    assert!(lost > 0, "nothing was lost: the test proves nothing");
    assert!(log.contains(&format!("records={lost} from=5 to={first}")), "{log}");
    assert!(follower.records.windows(2).skip(5).all(|two| offset(&two[1]) == offset(&two[0]) + 1));
    let metrics = metrics(&log);
    let counted = format!("lockstep_data_loss_records_total{{input=\"bytes\"}} {lost}");
    assert!(metrics.lines().any(|line| line == counted), "no {counted} in:\n{metrics}");
    assert_eq!(run.terminate().code, Some(0));

    publish(&broker, &pipeline, TOO_MANY);
    let strict = BYTES.replace("octet-stream\"", "octet-stream\"\non_data_loss = \"stop\"");
    let ended = pipeline.run_file(&pipeline.again("strict.toml", &strict), &[]).wait();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("stopping, as on_data_loss of input bytes asks"), "{}", ended.err);
}

/// The answer of `/metrics`, at the address in the log.
fn metrics(log: &str) -> String {
    let address = log.split_once("http://").and_then(|(_, rest)| rest.split_once("/metrics"));
    let (address, _) = address.expect("the log names the address");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("it is asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}
