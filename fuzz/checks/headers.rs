//! The property of headers: a record with any headers is accepted, or returned with the reason.

use std::time::Duration;

use lockstep_engine::budget::Budget;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::parse::parse_record;
use lockstep_engine::ingest::streams::KnownStreams;
use lockstep_engine::media::{Media, Modality};
use lockstep_engine::position::{InputId, Position};
use lockstep_engine::sample::{Header, Record};
use lockstep_engine::time::Timestamp;

/// The names that ingest reads. The first byte of a header chooses one, or declares that its name follows.
const NAMES: [&str; 10] = [
    "content-type",
    "contentType",
    "ce_datacontenttype",
    "content-encoding",
    "ce_time",
    "CE-Time",
    "event-time-ns",
    "duration-ns",
    "ce_id",
    "ce_source",
];

/// Checks `data`, which is headers separated by zeros.
pub fn check(data: &[u8]) {
    let now = Timestamp::from_millis(1_772_366_400_000);
    let headers: Vec<Header> = data.split(|byte| *byte == 0).take(32).filter_map(header).collect();
    let record = Record {
        position: Position::new(InputId(0), 0, 7),
        key: Some(b"cam-1".to_vec().into()),
        payload: vec![1; 64].into(),
        headers: headers.clone(),
        timestamp: Some(now),
        polled_at: now,
        read_at: now,
    };
    let budget = Budget::new(1 << 20);
    let spec = spec();
    match parse_record(record, &spec, 1, &budget, &mut KnownStreams::default()) {
        Ok(sample) => {
            assert_eq!(sample.media.modality(), Modality::Text);
            assert!(sample.event_time >= now.before(spec.max_past));
            assert!(sample.event_time <= now.after(spec.max_future));
            // All headers with a content type have the same one.
            let names = ["content-type", "ce_datacontenttype"];
            for header in headers.iter().filter(|header| names.iter().any(|name| header.is(name))) {
                let Some(value) = header.value.as_deref() else { continue };
                let declared = std::str::from_utf8(value).map(str::parse::<Media>);
                assert_eq!(declared, Ok(Ok(sample.media)));
            }
        }
        Err((record, fault)) => {
            assert_eq!(record.headers, headers, "the record is returned unchanged");
            assert!(!fault.message.is_empty());
        }
    }
    assert_eq!(budget.used(), 0);
}

fn header(bytes: &[u8]) -> Option<Header> {
    let (first, rest) = bytes.split_first()?;
    if let Some(name) = NAMES.get(usize::from(*first % 16)) {
        return Some(Header::new(*name, rest.to_vec()));
    }
    let text = String::from_utf8_lossy(rest).into_owned();
    let (name, value) = text.split_once(':')?;
    Some(Header::new(name.to_owned(), value.as_bytes().to_vec()))
}

fn spec() -> InputSpec {
    InputSpec {
        name: "captions".into(),
        topic: "captions".into(),
        modality: Modality::Text,
        default_media: Media::Text,
        max_bytes: 1_000,
        max_past: Duration::from_secs(3_600),
        max_future: Duration::from_secs(60),
        clock_offset: 0,
        same_time: Default::default(),
        drift: Default::default(),
        pictures: Default::default(),
        on_data_loss: Default::default(),
        shed: None,
    }
}
