use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::position::{InputId, Position};

const NOW: Timestamp = Timestamp::from_millis(1_772_366_400_000);

fn spec() -> InputSpec {
    InputSpec {
        name: "video".into(),
        topic: "video".into(),
        modality: Modality::Image,
        default_media: Media::Jpeg,
        max_bytes: 1000,
        max_past: Duration::from_secs(3600),
        max_future: Duration::from_secs(60),
        clock_offset: 0,
        same_time: Default::default(),
        drift: Default::default(),
        pictures: Default::default(),
        on_data_loss: Default::default(),
        shed: None,
    }
}

fn record() -> Record {
    Record {
        position: Position::new(InputId(0), 0, 7),
        key: Some(Bytes::from_static(b"cam-1")),
        payload: Bytes::from_static(b"\xff\xd8 jpeg"),
        headers: Vec::new(),
        timestamp: Some(NOW.before(Duration::from_secs(1))),
        polled_at: NOW,
        read_at: NOW,
    }
}

fn with(headers: &[(&str, &str)]) -> Record {
    let headers = headers.iter().map(|(n, v)| Header::new(n.to_string(), v.as_bytes().to_vec())).collect();
    Record { headers, ..record() }
}

fn sample(record: Record) -> Sample {
    parse_record(record, &spec(), 1, &Budget::new(1 << 20), &mut KnownStreams::default())
        .expect("a good record")
}

fn reason(record: Record) -> Reason {
    let (record, fault) =
        parse_record(record, &spec(), 1, &Budget::new(1 << 20), &mut KnownStreams::default())
            .expect_err("a bad record");
    assert_eq!(record.position.offset.0, 7, "the record comes back for the dead letters");
    assert_eq!(fault.stage, StageKind::Ingest);
    fault.reason
}

#[test]
fn record_without_headers_is_accepted() {
    let sample = sample(record());
    assert_eq!(sample.stream.as_str(), "cam-1");
    assert_eq!(sample.media, Media::Jpeg);
    assert_eq!(sample.event_time, NOW.before(Duration::from_secs(1)));
}

#[test]
fn headers_win_over_defaults() {
    let time = NOW.before(Duration::from_secs(9));
    let first = sample(with(&[("ce_time", &time.to_string()), ("content-type", "image/png")]));
    assert_eq!((first.event_time, first.media), (time, Media::Png));
    let second = sample(with(&[("event-time-ns", &time.as_nanos().to_string())]));
    assert_eq!(second.event_time, time);
}

/// The spellings of Kafka's clients, Spring, Knative and HTTP.
#[test]
fn header_names_match_without_case_hyphens_and_underscores() {
    for name in [
        "content-type",
        "Content-Type",
        "contentType",
        "CONTENT_TYPE",
        "ce_datacontenttype",
        "CE_DataContentType",
    ] {
        assert_eq!(sample(with(&[(name, "image/png")])).media, Media::Png, "{name}");
    }
    let time = NOW.before(Duration::from_secs(9));
    for name in ["ce_time", "CE_Time", "ce-time"] {
        assert_eq!(sample(with(&[(name, &time.to_string())])).event_time, time, "{name}");
    }
    for name in ["event-time-ns", "event_time_ns", "eventTimeNs"] {
        assert_eq!(sample(with(&[(name, &time.as_nanos().to_string())])).event_time, time, "{name}");
    }
    for name in ["x-content-type", "content-types", "contenttyp", "ce_datacontent"] {
        assert_eq!(sample(with(&[(name, "image/png")])).media, Media::Jpeg, "{name}");
    }
    // Spring writes values of headers as JSON.
    assert_eq!(sample(with(&[("contentType", "\"image/png\"")])).media, Media::Png);
    let quoted = format!("\"{time}\"");
    assert_eq!(sample(with(&[("ce_time", &quoted)])).event_time, time);
}

#[test]
fn headers_that_say_different_content_types_are_refused_by_name() {
    let both = |first: (&str, &str), second: (&str, &str)| {
        let (_, fault) = parse_record(
            with(&[first, second]),
            &spec(),
            1,
            &Budget::new(1 << 20),
            &mut KnownStreams::default(),
        )
        .expect_err("a contradiction");
        assert_eq!(fault.reason, Reason::UnknownContentType);
        fault.message
    };
    let message = both(("content-type", "image/jpeg"), ("ce_datacontenttype", "image/png"));
    assert!(message.contains("content-type is image/jpeg and ce_datacontenttype is image/png"), "{message}");
    let message = both(("contentType", "image/webp"), ("Content-Type", "image/png"));
    assert!(message.contains("contentType is image/webp and Content-Type is image/png"), "{message}");
    let message = both(("content-type", "image/png"), ("ce_datacontenttype", "video/mp4"));
    assert!(message.contains("ce_datacontenttype: \"video/mp4\" is not a known"), "{message}");
    // The same type in another spelling is no contradiction.
    let same = with(&[("content-type", "image/jpg"), ("contentType", "Image/JPEG; quality=3")]);
    assert_eq!(sample(same).media, Media::Jpeg);
}

#[test]
fn value_with_another_encoding_is_refused() {
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("Content-Encoding", "zstd"),
        ("contentEncoding", "GZIP"),
        ("content-transfer-encoding", "base64"),
        ("ce_datacontentencoding", "base64"),
    ] {
        assert_eq!(reason(with(&[(name, value)])), Reason::UnknownContentType, "{name}: {value}");
    }
    for (name, value) in [("content-encoding", "identity"), ("Content-Transfer-Encoding", "binary")] {
        assert_eq!(sample(with(&[(name, value)])).media, Media::Jpeg, "{name}: {value}");
    }
}

#[test]
fn clock_offset_is_added_to_event_times_of_any_source() {
    for (offset, told) in [(37_000_000, "2026-03-01T11:59:58Z"), (-37_000_000, "2026-03-01T11:59:59.5Z")] {
        let spec = InputSpec { clock_offset: offset, ..spec() };
        for record in [with(&[("ce_time", told)]), record()] {
            let plain = sample(record.clone()).event_time.as_nanos();
            let shifted = parse_record(record, &spec, 1, &Budget::new(1 << 20), &mut KnownStreams::default());
            assert_eq!(shifted.expect("a good record").event_time.as_nanos(), plain + offset);
        }
    }
}

#[test]
fn duration_comes_from_a_header_or_of_sound_from_the_payload() {
    let lasts = with(&[("duration-ns", " 2500000000 ")]);
    assert_eq!(sample(lasts).duration, Duration::from_millis(2_500));
    assert_eq!(sample(record()).duration, Duration::ZERO);
    assert_eq!(reason(with(&[("duration-ns", "2.5s")])), Reason::InvalidDuration);
    assert_eq!(reason(with(&[("duration-ns", "-1")])), Reason::InvalidDuration);
    assert_eq!(sample(with(&[("duration-ns", "3600000000000")])).duration, wire::MAX_DURATION);
    assert_eq!(reason(with(&[("duration-ns", "3600000000001")])), Reason::InvalidDuration);

    let sound = InputSpec {
        modality: Modality::Audio,
        default_media: "audio/pcm;rate=16000".parse().expect("a type"),
        ..spec()
    };
    let headers = vec![Header::new("duration-ns".to_string(), b"7".to_vec())];
    let chunk = Record { payload: vec![0; 64].into(), headers, ..record() };
    let chunk = parse_record(chunk, &sound, 1, &Budget::new(1 << 20), &mut KnownStreams::default());
    assert_eq!(chunk.expect("a chunk").duration, Duration::from_millis(2));
}

#[test]
fn bad_record_is_returned_with_its_reason() {
    assert_eq!(reason(Record { key: None, ..record() }), Reason::MissingKey);
    assert_eq!(reason(Record { key: Some(Bytes::new()), ..record() }), Reason::InvalidKey);
    assert_eq!(reason(Record { key: Some(Bytes::from_static(b"\xff")), ..record() }), Reason::InvalidKey);
    assert_eq!(reason(Record { key: Some(vec![b'k'; 513].into()), ..record() }), Reason::InvalidKey);
    assert_eq!(reason(Record { payload: Bytes::new(), ..record() }), Reason::EmptyPayload);
    assert_eq!(reason(Record { payload: vec![0; 1001].into(), ..record() }), Reason::Oversized);
    assert_eq!(reason(with(&[("content-type", "video/mp4")])), Reason::UnknownContentType);
    assert_eq!(reason(with(&[("content-type", "text/plain")])), Reason::ContentTypeMismatch);
    assert_eq!(reason(with(&[("ce_time", "noon")])), Reason::InvalidEventTime);
    assert_eq!(reason(with(&[("event-time-ns", "1.5")])), Reason::InvalidEventTime);
    assert_eq!(reason(Record { timestamp: None, ..record() }), Reason::InvalidEventTime);
    assert_eq!(reason(with(&[("event-time-ns", "0")])), Reason::EventTimeOutOfRange);
    assert_eq!(reason(with(&[("event-time-ns", "9223372036854775807")])), Reason::EventTimeOutOfRange);
}

#[test]
fn event_time_in_another_unit_is_reported_with_that_unit() {
    let told = |record| {
        let (_, fault) =
            parse_record(record, &spec(), 1, &Budget::new(1 << 20), &mut KnownStreams::default())
                .expect_err("out of range");
        fault.message
    };
    let now = NOW.as_nanos();
    for (divisor, unit) in [(1_000, "microseconds"), (1_000_000, "milliseconds"), (1_000_000_000, "seconds")]
    {
        let message = told(with(&[("event-time-ns", &(now / divisor).to_string())]));
        let end = format!("; event-time-ns seems to be in {unit}: send nanoseconds");
        assert!(message.ends_with(&end), "{message}");
    }
    let in_seconds = Timestamp::from_millis(now / 1_000_000_000);
    let message = told(Record { timestamp: Some(in_seconds), ..record() });
    assert!(
        message.ends_with("; the record's own timestamp seems to be in seconds: send milliseconds"),
        "{message}"
    );
    // Other mistakes do not get this hint.
    for other in ["0", "-1", "9223372036854775807", &(now / 2).to_string()] {
        let message = told(with(&[("event-time-ns", other)]));
        assert!(message.ends_with("of input video)"), "{message}");
    }
    let dated = with(&[("ce_time", "1970-01-21T12:19:26.4Z")]);
    assert!(told(dated).ends_with("of input video)"));
}

#[test]
fn a_sample_counts_against_the_budget_until_it_is_dropped() {
    let budget = Budget::new(1 << 20);
    let sample =
        parse_record(record(), &spec(), 1, &budget, &mut KnownStreams::default()).expect("a good record");
    assert!(budget.used() >= 7);
    drop(sample);
    assert_eq!(budget.used(), 0);
}
