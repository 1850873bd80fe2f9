//! Records that cannot be used.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use lockstep_engine::time::Timestamp;

use crate::broker::{Broker, header};
use crate::clip::{JPEG, clip};
use crate::pipeline::{FACES, Pipeline};

over_each_broker!(bad_records_are_dead_lettered_and_the_rest_goes_on);

#[derive(Clone)]
struct Bad {
    /// Why it must be dead-lettered.
    reason: &'static str,
    key: Option<&'static str>,
    content_type: &'static str,
    /// The event time. None is the time of sending: an earlier sample than the last of its stream would be late.
    time: Option<&'static str>,
    payload: Bytes,
}

fn bad_records_are_dead_lettered_and_the_rest_goes_on(broker: &Broker) {
    let pipeline = Pipeline::of(broker, FACES);
    // One partition, so that offsets are known: 0, 1, 2 and so on in the order of sending.
    pipeline.create_topics(&["video"], 1);
    let frame = &clip().frames[0];
    let good = Bad { reason: "", key: Some("cam-1"), content_type: JPEG, time: None, payload: frame.clone() };
    let bad = [
        Bad { reason: "undecodable", payload: Bytes::from_static(b"garbage"), ..good.clone() },
        Bad { reason: "undecodable", payload: frame.slice(..frame.len() / 2), ..good.clone() },
        Bad { reason: "missing-key", key: None, ..good.clone() },
        Bad { reason: "unknown-content-type", content_type: "video/unheard-of", ..good.clone() },
        Bad { reason: "content-type-mismatch", content_type: "audio/wav", ..good.clone() },
        Bad { reason: "event-time-out-of-range", time: Some("1970-01-01T00:00:00Z"), ..good.clone() },
        Bad { reason: "invalid-event-time", time: Some("yesterday"), ..good.clone() },
        Bad { reason: "oversized", payload: vec![0; 2 << 20].into(), ..good.clone() },
        Bad { reason: "empty-payload", payload: Bytes::new(), ..good.clone() },
    ];

    let mut run = pipeline.run(&[]);
    let mut producer = broker.producer();
    let topic = pipeline.topic("video");
    let mut send = |record: &Bad| {
        let time = record.time.map_or_else(|| Timestamp::now().to_string(), str::to_owned);
        let headers = [("content-type", record.content_type.to_owned()), ("ce_time", time)];
        producer.send(&topic, record.key, &headers, record.payload.clone());
    };
    send(&good);
    bad[..4].iter().for_each(&mut send);
    send(&good);
    bad[4..].iter().for_each(&mut send);
    send(&good);
    producer.finish();

    let mut results = broker.follow(&pipeline.topic("results"));
    results.count(&mut run, 3);
    let mut letters = broker.follow(&pipeline.topic("dead-letters"));
    letters.count(&mut run, bad.len());
    assert_eq!(run.terminate().code, Some(0));

    let offsets: BTreeSet<i64> = results
        .json()
        .iter()
        .filter_map(|result| result["inputs"]["video"]["samples"][0]["offset"].as_i64())
        .collect();
    assert_eq!(offsets, BTreeSet::from([0, 5, 11]));

    let by_offset: BTreeMap<usize, _> = letters
        .records
        .iter()
        .map(|letter| (header(letter, "lockstep-source-offset").parse().expect("an offset"), letter))
        .collect();
    assert_eq!(by_offset.len(), bad.len(), "one letter for each");
    for (place, Bad { reason, key, content_type, payload, .. }) in bad.iter().enumerate() {
        // After the first good record, and from the fifth on after the second.
        let offset = place + if place < 4 { 1 } else { 2 };
        let letter = by_offset.get(&offset).unwrap_or_else(|| panic!("no record for {reason} at {offset}"));
        assert_eq!(header(letter, "lockstep-reason"), *reason);
        assert_eq!(header(letter, "lockstep-source-topic"), topic);
        assert_eq!(header(letter, "lockstep-source-partition"), "0");
        assert_eq!(header(letter, "content-type"), *content_type);
        assert!(!header(letter, "lockstep-message").is_empty());
        assert_eq!(letter.key.as_deref(), key.map(str::as_bytes));
        assert!(letter.value == *payload, "{reason}: the payload is as it was");
    }
}
