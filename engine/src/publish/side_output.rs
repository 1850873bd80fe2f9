//! Dead letters and late records: the original key, value, headers and timestamp, plus headers with the reason and the
//! origin.
//!
//! [`replay`] reads dead letters and puts them back; [`note`] tracks those that have been put back.

use std::sync::Arc;

use bytes::Bytes;

use crate::align::Bound;
use crate::fault::Fault;
use crate::ingest::shed::Shed;
use crate::ingest::wire;
use crate::publish::sink::OutRecord;
use crate::sample::{Header, Record};

pub mod note;
pub mod replay;

/// The parts of its original that a dead letter or late record keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeps {
    /// Everything.
    #[default]
    All,
    /// Not the value, which the broker refuses. A header says so, and the record cannot be put back.
    NoValue,
    /// Only the headers that Lockstep adds: a stub. It keeps its key; if it has none or a long one, the key is its
    /// origin, since a compacted topic refuses records without a key.
    Stub,
}

impl Keeps {
    /// The next smaller level, for a record that is refused again; `None` if there is none.
    pub fn less(self) -> Option<Self> {
        match self {
            Self::All => Some(Self::NoValue),
            Self::NoValue => Some(Self::Stub),
            Self::Stub => None,
        }
    }
}

/// The length to which a stub cuts its message, in characters.
const STUB_MESSAGE: usize = 256;

/// Makes a dead letter. `source` is the topic that the record came from. The reason is the first added header; by it
/// [`replay::put_back`] distinguishes added headers from the record's own, whatever their names.
pub fn dead_letter(
    topic: &Arc<str>,
    record: &Record,
    source: &str,
    fault: &Fault,
    keeps: Keeps,
) -> OutRecord {
    let most = if keeps == Keeps::Stub { STUB_MESSAGE } else { usize::MAX };
    let message: String = fault.message.chars().take(most).collect();
    let headers = [
        Header::new(wire::REASON, fault.reason.code()),
        Header::new(wire::STAGE, fault.stage.code()),
        Header::new(wire::MESSAGE, message),
        Header::new(wire::ATTEMPTS, fault.attempts.to_string()),
    ];
    copy(topic, record, source, headers, keeps)
}

/// The reason why a valid sample is in no bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// The sample came too late, by this many nanoseconds.
    Late(u64),
    /// The buffer bound evicted the sample.
    Evicted(Bound),
    /// The sample was shed unread, at this age in nanoseconds.
    Shed(Shed, u64),
}

/// Makes a record for the late topic. `source` is the topic that the record came from.
pub fn left_out(topic: &Arc<str>, record: &Record, source: &str, why: LeftOut, keeps: Keeps) -> OutRecord {
    match why {
        LeftOut::Late(by_ns) => {
            copy(topic, record, source, [Header::new(wire::LATE_BY_NS, by_ns.to_string())], keeps)
        }
        LeftOut::Evicted(bound) => {
            let added = [Header::new(wire::REASON, wire::EVICTED), Header::new(wire::BOUND, bound.as_str())];
            copy(topic, record, source, added, keeps)
        }
        LeftOut::Shed(rule, age_ns) => {
            let added = [
                Header::new(wire::REASON, wire::SHED),
                Header::new(wire::RULE, rule.as_str()),
                Header::new(wire::AGE_NS, age_ns.to_string()),
            ];
            copy(topic, record, source, added, keeps)
        }
    }
}

fn copy<const N: usize>(
    topic: &Arc<str>,
    record: &Record,
    source: &str,
    added: [Header; N],
    keeps: Keeps,
) -> OutRecord {
    let position = record.position;
    let is_stub = keeps == Keeps::Stub;
    let mut headers = if is_stub { Vec::with_capacity(N + 6) } else { record.headers.clone() };
    headers.extend(added);
    headers.push(Header::new(wire::SOURCE_TOPIC, source.to_owned()));
    headers.push(Header::new(wire::SOURCE_PARTITION, position.partition.partition.to_string()));
    headers.push(Header::new(wire::SOURCE_OFFSET, position.offset.0.to_string()));
    if let Some(timestamp) = record.timestamp {
        headers.push(Header::new(wire::SOURCE_TIMESTAMP, timestamp.as_millis().to_string()));
    }
    if keeps != Keeps::All {
        headers.push(Header::new(wire::VALUE_LEFT_OUT, record.payload.len().to_string()));
    }
    let mut key = record.key.clone();
    if is_stub {
        let bytes = record.headers.iter().map(|h| h.name.len() + h.value.as_ref().map_or(0, Bytes::len));
        headers.push(Header::new(wire::HEADERS_LEFT_OUT, bytes.sum::<usize>().to_string()));
        let origin = || format!("{source}-{}-{}", position.partition.partition, position.offset.0).into();
        key = key.filter(|key| key.len() <= wire::MAX_KEY_BYTES).or_else(|| Some(origin()));
    }
    OutRecord {
        topic: topic.clone(),
        partition: None,
        key,
        payload: if keeps == Keeps::All { record.payload.clone() } else { Bytes::new() },
        headers,
        // The time of sending: a broker may delete a record with an old timestamp at once.
        timestamp: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Reason, StageKind};
    use crate::position::{InputId, Position};
    use crate::time::Timestamp;

    /// The added headers of a frame that is left out, without those of its origin.
    fn added_headers(why: LeftOut) -> Vec<(String, String)> {
        let record = Record {
            position: Position::new(InputId(1), 2, 34),
            key: Some(Bytes::from_static(b"cam-1")),
            payload: Bytes::from_static(b"frame"),
            headers: Vec::new(),
            timestamp: None,
            polled_at: Timestamp::from_millis(6),
            read_at: Timestamp::from_millis(6),
        };
        let dead_letter = left_out(&Arc::from("late"), &record, "video", why, Keeps::All);
        assert_eq!((&dead_letter.key, &dead_letter.payload), (&record.key, &record.payload));
        let text = |header: &Header| String::from_utf8_lossy(header.value.as_deref().unwrap()).into_owned();
        let told = dead_letter.headers.iter().map(|header| (header.name.to_string(), text(header)));
        let (came_from, told) = told.partition::<Vec<_>, _>(|(name, _)| name.starts_with("lockstep-source-"));
        assert_eq!(came_from.iter().map(|(_, value)| value).collect::<Vec<_>>(), ["video", "2", "34"]);
        told
    }

    fn owned<const N: usize>(headers: [(&str, &str); N]) -> Vec<(String, String)> {
        headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn evicted_sample_names_its_bound() {
        let expected = [("lockstep-reason", "evicted"), ("lockstep-bound", "stream-items")];
        assert_eq!(added_headers(LeftOut::Evicted(Bound::StreamItems)), owned(expected));
    }

    #[test]
    fn shed_sample_names_its_rule_and_age() {
        for (rule, code) in
            [(Shed::TooOld, "too-old"), (Shed::Sampled, "sampled"), (Shed::Priority, "priority")]
        {
            let expected =
                [("lockstep-reason", "shed"), ("lockstep-rule", code), ("lockstep-age-ns", "1500")];
            assert_eq!(added_headers(LeftOut::Shed(rule, 1_500)), owned(expected));
        }
    }

    #[test]
    fn dead_letter_keeps_its_record_and_names_its_origin() {
        let record = Record {
            position: Position::new(InputId(1), 2, 34),
            key: None,
            payload: Bytes::from_static(b"garbage"),
            headers: vec![Header::new("content-type", "image/jpeg")],
            timestamp: Some(Timestamp::from_millis(5)),
            polled_at: Timestamp::from_millis(6),
            read_at: Timestamp::from_millis(6),
        };
        let fault = Fault::new(StageKind::Ingest, Reason::MissingKey, "no key").after_attempts(3);
        let dead_letter = super::dead_letter(&Arc::from("dead"), &record, "audio", &fault, Keeps::All);
        assert_eq!((dead_letter.key, dead_letter.payload), (None, record.payload));
        assert_eq!(dead_letter.timestamp, None, "a broker may delete a record with an old timestamp at once");
        let told: Vec<(String, String)> = dead_letter
            .headers
            .iter()
            .map(|h| {
                (h.name.to_string(), String::from_utf8_lossy(h.value.as_deref().unwrap_or_default()).into())
            })
            .collect();
        let expected = [
            ("content-type", "image/jpeg"),
            ("lockstep-reason", "missing-key"),
            ("lockstep-stage", "ingest"),
            ("lockstep-message", "no key"),
            ("lockstep-attempts", "3"),
            ("lockstep-source-topic", "audio"),
            ("lockstep-source-partition", "2"),
            ("lockstep-source-offset", "34"),
            ("lockstep-source-timestamp-ms", "5"),
        ];
        assert_eq!(told, expected.map(|(name, value)| (name.to_string(), value.to_string())));
    }

    #[test]
    fn stub_has_its_reason_its_origin_and_a_key() {
        let long = "x".repeat(100_000);
        let record = Record {
            position: Position::new(InputId(1), 2, 34),
            key: Some(long.clone().into()),
            payload: Bytes::from(vec![0; 50]),
            headers: vec![Header::new("trace", long.clone())],
            timestamp: None,
            polled_at: Timestamp::from_millis(6),
            read_at: Timestamp::from_millis(6),
        };
        let fault = Fault::new(StageKind::Publish, Reason::ResultRefused, "ä".repeat(1000));
        let kept = |keeps| dead_letter(&Arc::from("dead"), &record, "audio", &fault, keeps);
        let sizes = [Keeps::All, Keeps::NoValue, Keeps::Stub].map(|keeps| kept(keeps).batch_size());
        assert!(sizes[1] > 200_000 && sizes[2] < 2000, "{sizes:?}");
        let stub = kept(Keeps::Stub);
        assert_eq!(stub.key.as_deref(), Some(b"audio-2-34".as_slice()));
        let value = |name| stub.headers.iter().find(|h| h.name == name).and_then(|h| h.value.as_deref());
        assert_eq!(value("lockstep-reason"), Some(b"result-refused".as_slice()));
        assert_eq!(value("lockstep-value-left-out"), Some(b"50".as_slice()));
        assert_eq!(value("lockstep-headers-left-out"), Some(b"100005".as_slice()));
    }
}
