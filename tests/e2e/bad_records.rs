//! Records that cannot be used.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use lockstep_engine::time::Timestamp;

use crate::broker::{Broker, header};
use crate::clip::{JPEG, clip};
use crate::pipeline::{FACES, Pipeline};

over_each_broker!(bad_records_are_dead_lettered_and_the_rest_goes_on);

fn bad_records_are_dead_lettered_and_the_rest_goes_on(broker: &Broker) {
    const GOOD: [usize; 3] = [0, 40, 80];
    let pipeline = Pipeline::of(broker, FACES);
    // One partition, so that offsets are known: 0, 1, 2 and so on in the order of sending.
    pipeline.create_topics(&["video"], 1);
    let frame = &clip().frames[0];
    let truncated = frame.slice(..frame.len() / 2);
    let now = || Timestamp::now().to_string();
    // Without a time: that of its sending, since a sample before its stream's last would be late.
    let bad: [(&str, Option<&str>, &str, Option<&str>, Bytes); 8] = [
        ("undecodable", Some("cam-1"), JPEG, None, Bytes::from_static(b"garbage")),
        ("undecodable", Some("cam-1"), JPEG, None, truncated),
        ("missing-key", None, JPEG, None, frame.clone()),
        ("unknown-content-type", Some("cam-1"), "video/unheard-of", None, frame.clone()),
        ("content-type-mismatch", Some("cam-1"), "audio/wav", None, frame.clone()),
        ("event-time-out-of-range", Some("cam-1"), JPEG, Some("1970-01-01T00:00:00Z"), frame.clone()),
        ("invalid-event-time", Some("cam-1"), JPEG, Some("yesterday"), frame.clone()),
        ("oversized", Some("cam-1"), JPEG, None, vec![0; 300 << 10].into()),
    ];

    let mut run = pipeline.run(&[]);
    let mut producer = broker.producer();
    let topic = pipeline.topic("video");
    let good = |producer: &mut crate::broker::Producer, index: usize| {
        let headers = [("content-type", JPEG.into()), ("ce_time", now())];
        producer.send(&topic, Some("cam-1"), &headers, clip().frames[index].clone());
    };
    good(&mut producer, GOOD[0]);
    for (place, (_, key, content_type, time, payload)) in bad.iter().enumerate() {
        if place == 4 {
            good(&mut producer, GOOD[1]);
        }
        let headers =
            [("content-type", (*content_type).to_owned()), ("ce_time", time.map_or_else(now, str::to_owned))];
        producer.send(&topic, *key, &headers, payload.clone());
    }
    good(&mut producer, GOOD[2]);
    producer.finish();

    let mut results = broker.follow(&pipeline.topic("results"));
    results.count(&mut run, GOOD.len());
    let mut letters = broker.follow(&pipeline.topic("dead-letters"));
    letters.count(&mut run, bad.len());
    assert_eq!(run.terminate().code, Some(0));

    let offsets: BTreeSet<i64> = results
        .json()
        .iter()
        .filter_map(|result| result["inputs"]["video"]["samples"][0]["offset"].as_i64())
        .collect();
    assert_eq!(offsets, BTreeSet::from([0, 5, 10]));

    let by_offset: BTreeMap<usize, _> = letters
        .records
        .iter()
        .map(|letter| (header(letter, "lockstep-source-offset").parse().expect("an offset"), letter))
        .collect();
    assert_eq!(by_offset.len(), bad.len(), "one letter for each");
    for (place, (reason, key, content_type, _, payload)) in bad.iter().enumerate() {
        // After the first good record, and from the fifth on after the second.
        let offset = place + if place < 4 { 1 } else { 2 };
        let letter = by_offset.get(&offset).unwrap_or_else(|| panic!("no letter for {reason} at {offset}"));
        assert_eq!(header(letter, "lockstep-reason"), *reason);
        assert_eq!(header(letter, "lockstep-source-topic"), topic);
        assert_eq!(header(letter, "lockstep-source-partition"), "0");
        assert_eq!(header(letter, "content-type"), *content_type);
        assert!(!header(letter, "lockstep-message").is_empty());
        assert_eq!(letter.key.as_deref(), key.map(str::as_bytes));
        assert!(letter.value == *payload, "{reason}: the payload is as it was");
    }
}
