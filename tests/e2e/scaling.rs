//! Numbers that are changed while records come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lockstep_engine::time::Timestamp;
use serde_json::Value;

use crate::broker::Broker;
use crate::pipeline::{BYTES, Pipeline};
use crate::process::{Ended, Lockstep, PATIENCE};

over_each_broker!(manual_override_resizes_without_loss_repeat_or_reorder);

const STREAMS: usize = 12;
const ROUNDS: usize = 5;
const RECORDS: usize = 50;
const TOKEN: &str = "of-the-tests-alone-and-long";

fn manual_override_resizes_without_loss_repeat_or_reorder(broker: &Broker) {
    let pipeline = Pipeline::of(broker, BYTES);
    pipeline.create_topics(&["bytes"], 2);
    let mut run = pipeline.run(&[("LOCKSTEP_HTTP", "127.0.0.1:0"), ("LOCKSTEP_HTTP_TOKEN", TOKEN)]);
    let said = run.says("metrics=http://");
    let address = said.split("metrics=http://").nth(1).and_then(|rest| rest.split('/').next());
    let address = address.expect("an address").to_owned();
    run.says("partitions assigned");
    let mut producer = broker.producer();
    let mut send = |records: usize| {
        for number in 0..records * STREAMS {
            let headers = [("ce_time", Timestamp::now().to_string())];
            let key = format!("stream-{}", number % STREAMS);
            producer.send(&pipeline.topic("bytes"), Some(&key), &headers, Bytes::from_static(&[7; 16]));
        }
    };
    for (shards, instances) in [(3, 2), (2, 3), (5, 1), (1, 2), (4, 1)] {
        send(RECORDS / 2);
        let ended = scale(
            &address,
            &["--shards", &shards.to_string(), "--instances", &format!("identity={instances}")],
        );
        assert_eq!(ended.code, Some(0), "{ended:?}");
        send(RECORDS / 2);
        until_there_are(&address, shards, instances);
    }
    producer.finish();

    let nobody = Lockstep::run(&["scale", &address, "--shards", "3"], &[]);
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.err.contains("LOCKSTEP_HTTP_TOKEN"), "{nobody:?}");
    let refused = scale(&address, &["--shards", "1000"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("scaling.shards"), "{refused:?}");
    let unknown = scale(&address, &["--instances", "faces=2"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("identity"), "{unknown:?}");
    let shown = scale(&address, &["--shards", "auto"]);
    assert!(
        shown.out.starts_with("shards ") && !shown.out.lines().next().unwrap().contains("by hand"),
        "{shown:?}"
    );

    let mut follower = broker.follow(&pipeline.topic("results"));
    follower.count(&mut run, ROUNDS * RECORDS * STREAMS);
    follower.for_now();
    assert_eq!(run.terminate().code, Some(0));
    let mut times: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for result in follower.json() {
        let time = result["event_time_ns"].as_i64().expect("a time");
        times.entry(result["stream"].to_string()).or_default().push(time);
    }
    assert_eq!(times.len(), STREAMS);
    for (stream, times) in times {
        assert_eq!(times.iter().collect::<BTreeSet<_>>().len(), ROUNDS * RECORDS, "{stream}");
        assert!(times.is_sorted_by(|a, b| a < b), "{stream}: each once, in order");
    }
}

fn scale(address: &str, args: &[&str]) -> Ended {
    Lockstep::run(&[&["scale", address], args].concat(), &[("LOCKSTEP_HTTP_TOKEN", TOKEN)])
}

fn until_there_are(address: &str, shards: u64, instances: u64) {
    let until = Instant::now() + PATIENCE;
    loop {
        let ended = scale(address, &["--json"]);
        let counts: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"));
        let current = |of: &Value| of["current"].as_u64().expect("a number");
        if current(&counts["shards"]) == shards && current(&counts["instances"]["identity"]) == instances {
            assert_eq!(counts["shards"]["manual_override"], true);
            return;
        }
        assert!(Instant::now() < until, "there are {counts}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
