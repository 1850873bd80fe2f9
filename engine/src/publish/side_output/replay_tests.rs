use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::align::Bound;
use crate::fault::{Fault, Reason, StageKind};
use crate::ingest::shed::Shed;
use crate::position::{InputId, Position};
use crate::publish::side_output::{self, Keeps, LeftOut};
use crate::sample::Record;

fn record(headers: Vec<Header>) -> Record {
    Record {
        position: Position::new(InputId(0), 2, 34),
        key: Some(Bytes::from_static(b"cam-1")),
        payload: Bytes::from_static(b"frame"),
        headers,
        timestamp: Some(Timestamp::from_millis(5)),
        polled_at: Timestamp::from_millis(6),
        read_at: Timestamp::from_millis(6),
    }
}

fn fault() -> Fault {
    Fault::new(StageKind::Infer, Reason::ModelFailed, "it throws").after_attempts(3)
}

fn letter(record: &Record) -> OutRecord {
    side_output::dead_letter(&"dead".into(), record, "video", &fault(), Keeps::All)
}

/// The replay count of a dead letter's record.
fn replays(letter: &OutRecord) -> u32 {
    DeadLetterHeaders::read(&letter.headers).unwrap().replays
}

#[test]
fn dead_letter_reads_back_its_content() {
    let told = DeadLetterHeaders::read(&letter(&record(Vec::new())).headers).unwrap();
    let expected = DeadLetterHeaders {
        reason: "model-failed".into(),
        stage: "infer".into(),
        message: "it throws".into(),
        attempts: 3,
        replays: 0,
        source_topic: "video".into(),
        source_partition: 2,
        source_offset: Offset(34),
        value_left_out: None,
    };
    assert_eq!(told, expected);
}

#[test]
fn record_counts_its_replays() {
    let mut alive = record(vec![Header::new("content-type", "image/jpeg")]);
    for times in 0..3 {
        let dead = letter(&alive);
        assert_eq!(replays(&dead), times);
        alive.headers = put_back(dead).unwrap().1.headers;
        let counts = alive.headers.iter().filter(|header| header.name == wire::REPLAYS).count();
        assert_eq!((alive.headers.len(), counts), (2, 1));
    }
}

#[test]
fn headers_added_by_other_tools_stay() {
    let mut dead = letter(&record(Vec::new()));
    dead.headers.push(Header::new("traceparent", "00-1"));
    let back = put_back(dead).unwrap().1;
    assert_eq!(back.headers, [Header::new("traceparent", "00-1"), Header::new(wire::REPLAYS, "1")]);
}

#[test]
fn dead_letter_without_a_value_names_its_origin() {
    let refused =
        side_output::dead_letter(&"dead".into(), &record(Vec::new()), "video", &fault(), Keeps::NoValue);
    assert_eq!((refused.payload.len(), refused.timestamp), (0, None));
    let why = put_back(refused).unwrap_err();
    assert_eq!(
        why,
        Stays::ValueLeftOut { bytes: 5, topic: "video".into(), partition: 2, offset: Offset(34) }
    );
    assert!(why.to_string().contains("partition 2 offset 34 of video"), "{why}");
}

#[test]
fn foreign_record_is_refused_with_a_remedy() {
    let stranger = DeadLetterHeaders::read(&[Header::new("content-type", "text/plain")]).unwrap_err();
    assert!(stranger.to_string().contains("results.dead_letters"), "{stranger}");
    for why in [LeftOut::Late(5), LeftOut::Evicted(Bound::StreamItems), LeftOut::Shed(Shed::Sampled, 5)] {
        let late = side_output::left_out(&"late".into(), &record(Vec::new()), "video", why, Keeps::All);
        assert_eq!(put_back(late).unwrap_err(), Stays::LeftOut);
    }
    for (name, value) in [
        (wire::SOURCE_TOPIC, ""),
        (wire::SOURCE_PARTITION, "-1"),
        (wire::SOURCE_PARTITION, "two"),
        (wire::SOURCE_OFFSET, "99999999999999999999"),
    ] {
        let mut headers = letter(&record(Vec::new())).headers;
        headers.push(Header::new(name, value));
        assert_eq!(DeadLetterHeaders::read(&headers), Err(Stays::Foreign(name)), "{name} {value:?}");
    }
}

fn name() -> impl Strategy<Value = String> {
    let ours =
        ADDED.into_iter().chain([wire::REPLAYS, wire::LATE_BY_NS, wire::BOUND, wire::RULE, wire::CE_TIME]);
    prop_oneof![proptest::sample::select(ours.collect::<Vec<_>>()).prop_map(str::to_owned), ".{0,6}"]
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

prop_compose! {
    fn any_header()(name in name(), value in option::of(bytes(8))) -> Header {
        Header { name: name.into(), value }
    }
}

prop_compose! {
    fn any_record()(
        key in option::of(bytes(8)),
        payload in bytes(32),
        headers in vec(any_header(), 0..8),
        timestamp in option::of(any::<i32>()),
        partition in 0..i32::MAX,
        offset in 0..i64::MAX,
    ) -> Record {
        Record {
            position: Position::new(InputId(0), partition, offset),
            key,
            payload,
            headers,
            timestamp: timestamp.map(|millis| Timestamp::from_millis(millis.into())),
            polled_at: Timestamp::from_millis(0),
            read_at: Timestamp::from_millis(0),
        }
    }
}

proptest! {
    #[test]
    fn record_comes_back_unchanged_but_for_its_count(record in any_record()) {
        let (told, back) = put_back(letter(&record)).unwrap();
        prop_assert_eq!((&*back.topic, back.key, back.payload, back.timestamp),
            ("video", record.key, record.payload, record.timestamp));
        prop_assert_eq!((told.source_partition, told.source_offset),
            (record.position.partition.partition, record.position.offset));
        let mut headers = record.headers;
        headers.retain(|header| header.name != wire::REPLAYS);
        headers.push(Header::new(wire::REPLAYS, told.replays.saturating_add(1).to_string()));
        prop_assert_eq!(back.headers, headers);
    }

    #[test]
    fn any_headers_can_be_read(headers in vec(any_header(), 0..16)) {
        let record = OutRecord {
            topic: "dead".into(), partition: None, key: None, payload: Bytes::new(), headers, timestamp: None,
        };
        prop_assert_eq!(put_back(record.clone()).is_ok(),
            DeadLetterHeaders::read(&record.headers).is_ok_and(|letter| letter.stays().is_none()));
    }
}
