//! Dead letters and late records: the original key, value, headers and timestamp, plus headers that
//! tell why it is there and where it came from.
//!
//! [`replay`] reads dead letters and puts them back; [`note`] remembers which have been.

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

/// A dead letter. `source` is the topic that the record came from. Its reason is the first of the headers that are
/// added, by which [`replay::put_back`] tells them from the record's own, whatever those are called.
pub fn dead_letter(topic: &Arc<str>, record: &Record, source: &str, fault: &Fault) -> OutRecord {
    let headers = [
        Header::new(wire::REASON, fault.reason.code()),
        Header::new(wire::STAGE, fault.stage.code()),
        Header::new(wire::MESSAGE, fault.message.clone()),
        Header::new(wire::ATTEMPTS, fault.attempts.to_string()),
    ];
    copy(topic, record, source, headers)
}

/// The same dead letter for a broker that refuses it: without its value, which may be too large, and its timestamp,
/// which may be out of bounds. It says so, and cannot be put back.
pub fn without_value(letter: OutRecord) -> OutRecord {
    let mut headers = letter.headers;
    headers.push(Header::new(wire::VALUE_LEFT_OUT, letter.payload.len().to_string()));
    OutRecord { payload: Bytes::new(), headers, timestamp: None, ..letter }
}

/// Why a sample took part in nothing, though nothing is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It came so many nanoseconds too late.
    Late(u64),
    /// It had to make room.
    Evicted(Bound),
    /// It was put aside unread, so many nanoseconds old.
    Shed(Shed, u64),
}

/// A record for the late topic. `source` is the topic that the record came from.
pub fn left_out(topic: &Arc<str>, record: &Record, source: &str, why: LeftOut) -> OutRecord {
    match why {
        LeftOut::Late(by_ns) => {
            copy(topic, record, source, [Header::new(wire::LATE_BY_NS, by_ns.to_string())])
        }
        LeftOut::Evicted(bound) => {
            let told = [Header::new(wire::REASON, wire::EVICTED), Header::new(wire::BOUND, bound.as_str())];
            copy(topic, record, source, told)
        }
        LeftOut::Shed(rule, age_ns) => {
            let told = [
                Header::new(wire::REASON, wire::SHED),
                Header::new(wire::RULE, rule.as_str()),
                Header::new(wire::AGE_NS, age_ns.to_string()),
            ];
            copy(topic, record, source, told)
        }
    }
}

fn copy<const N: usize>(topic: &Arc<str>, record: &Record, source: &str, told: [Header; N]) -> OutRecord {
    let position = record.position;
    let mut headers = record.headers.clone();
    headers.extend(told);
    headers.push(Header::new(wire::SOURCE_TOPIC, source.to_owned()));
    headers.push(Header::new(wire::SOURCE_PARTITION, position.partition.partition.to_string()));
    headers.push(Header::new(wire::SOURCE_OFFSET, position.offset.0.to_string()));
    OutRecord {
        topic: topic.clone(),
        partition: None,
        key: record.key.clone(),
        payload: record.payload.clone(),
        headers,
        timestamp: record.timestamp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Reason, Stage};
    use crate::position::{InputId, Position};
    use crate::time::Timestamp;

    /// What is told of a frame that is left out, before where it came from.
    fn told_of(why: LeftOut) -> Vec<(String, String)> {
        let record = Record {
            position: Position::new(InputId(1), 2, 34),
            key: Some(Bytes::from_static(b"cam-1")),
            payload: Bytes::from_static(b"frame"),
            headers: Vec::new(),
            timestamp: None,
            polled_at: Timestamp::from_millis(6),
            read_at: Timestamp::from_millis(6),
        };
        let letter = left_out(&Arc::from("late"), &record, "video", why);
        assert_eq!((&letter.key, &letter.payload), (&record.key, &record.payload));
        let text = |header: &Header| String::from_utf8_lossy(header.value.as_deref().unwrap()).into_owned();
        let told = letter.headers.iter().map(|header| (header.name.to_string(), text(header)));
        let (came_from, told) = told.partition::<Vec<_>, _>(|(name, _)| name.starts_with("lockstep-source-"));
        assert_eq!(came_from.iter().map(|(_, value)| value).collect::<Vec<_>>(), ["video", "2", "34"]);
        told
    }

    fn owned<const N: usize>(headers: [(&str, &str); N]) -> Vec<(String, String)> {
        headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn a_sample_that_had_to_make_room_says_so_and_which_bound_it_fell_to() {
        let expected = [("lockstep-reason", "evicted"), ("lockstep-bound", "stream-items")];
        assert_eq!(told_of(LeftOut::Evicted(Bound::StreamItems)), owned(expected));
    }

    #[test]
    fn a_sample_that_was_shed_says_so_by_which_rule_and_how_old_it_was() {
        for (rule, code) in
            [(Shed::TooOld, "too-old"), (Shed::Sampled, "sampled"), (Shed::Priority, "priority")]
        {
            let expected =
                [("lockstep-reason", "shed"), ("lockstep-rule", code), ("lockstep-age-ns", "1500")];
            assert_eq!(told_of(LeftOut::Shed(rule, 1_500)), owned(expected));
        }
    }

    #[test]
    fn a_dead_letter_can_be_put_back_as_it_was_and_says_where_it_came_from() {
        let record = Record {
            position: Position::new(InputId(1), 2, 34),
            key: None,
            payload: Bytes::from_static(b"garbage"),
            headers: vec![Header::new("content-type", "image/jpeg")],
            timestamp: Some(Timestamp::from_millis(5)),
            polled_at: Timestamp::from_millis(6),
            read_at: Timestamp::from_millis(6),
        };
        let fault = Fault::new(Stage::Ingest, Reason::MissingKey, "no key").after_attempts(3);
        let letter = dead_letter(&Arc::from("dead"), &record, "audio", &fault);
        assert_eq!((letter.key, letter.payload, letter.timestamp), (None, record.payload, record.timestamp));
        let told: Vec<(String, String)> = letter
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
        ];
        assert_eq!(told, expected.map(|(name, value)| (name.to_string(), value.to_string())));
    }
}
