//! Several processes of one group.

use std::collections::BTreeSet;

use bytes::Bytes;
use lockstep_engine::time::Timestamp;

use crate::broker::Broker;
use crate::pipeline::{BYTES, Pipeline};

const STREAMS: usize = 12;

/// Over Apache Kafka alone: the embedded broker takes a session's timeout for each rebalance.
#[test]
fn two_processes_share_the_partitions() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let pipeline = Pipeline::of(&broker, BYTES);
    pipeline.create_topics(&["bytes"], 2);
    let publish = |rounds: usize| {
        let mut producer = broker.producer();
        for stream in (0..rounds).flat_map(|_| 0..STREAMS) {
            let headers = [("ce_time", Timestamp::now().to_string())];
            let key = format!("stream-{stream}");
            producer.send(&pipeline.topic("bytes"), Some(&key), &headers, Bytes::from_static(&[7; 16]));
        }
        producer.finish();
    };
    let mut first = pipeline.run(&[]);
    first.says("partitions assigned partitions=2");
    publish(20);
    let mut second = pipeline.run(&[]);
    publish(20);
    second.says("partitions assigned partitions=1");
    publish(20);
    let mut follower = broker.follow(&pipeline.topic("results"));
    let ids = |records: &[lockstep_kafka::tail::TailRecord]| -> BTreeSet<String> {
        let ids = records.iter().filter_map(|record| {
            let result: serde_json::Value = serde_json::from_slice(&record.value).ok()?;
            Some(result["id"].to_string())
        });
        ids.collect()
    };
    follower.until(&mut [&mut first, &mut second], |records| ids(records).len() >= 60 * STREAMS);
    assert_eq!(ids(&follower.records).len(), 60 * STREAMS);

    // The one that stays takes over what the other leaves.
    assert_eq!(second.terminate().code, Some(0));
    publish(20);
    follower.until(&mut [&mut first], |records| ids(records).len() >= 80 * STREAMS);
    assert_eq!(first.terminate().code, Some(0));
}
