//! Parsing of one record into one sample. It reads only the key, the headers and the size: a record that may still be
//! dropped is not decoded.

use std::str::FromStr;
use std::time::Duration;

use crate::budget::Budget;
use crate::fault::{Fault, Reason, StageKind};
use crate::ingest::streams::KnownStreams;
use crate::ingest::{InputSpec, duration, wire};
use crate::media::{Media, Modality};
use crate::sample::{Damage, Header, Record, SameTime, Sample, StreamKey};
use crate::time::Timestamp;

/// Parses a record of an input, read under an assignment of its partition.
///
/// # Errors
/// The record itself and its fault; it becomes a dead letter.
#[allow(clippy::result_large_err, reason = "the record is given back, not lost")]
pub fn parse_record(
    record: Record,
    spec: &InputSpec,
    assignment: u32,
    budget: &Budget,
    streams: &mut KnownStreams,
) -> Result<Sample, (Record, Fault)> {
    match read(&record, spec, streams) {
        Ok(RecordFields { stream, media, event_time, duration }) => {
            let reservation = budget.reserve(record.weight());
            let (same_time, damage) = (same_time(&record, spec), Damage::default());
            Ok(Sample {
                record,
                stream,
                event_time,
                duration,
                media,
                reservation,
                same_time,
                assignment,
                damage,
            })
        }
        Err(fault) => Err((record, fault)),
    }
}

/// The fault of a record that cannot become a sample.
fn refused(reason: Reason, message: impl Into<String>) -> Fault {
    Fault::new(StageKind::Ingest, reason, message)
}

/// The fields of a sample that a record's key, headers and payload give.
struct RecordFields {
    stream: StreamKey,
    media: Media,
    event_time: Timestamp,
    duration: Duration,
}

fn read(record: &Record, spec: &InputSpec, streams: &mut KnownStreams) -> Result<RecordFields, Fault> {
    let stream = stream(record, streams)?;
    if record.payload.is_empty() {
        return Err(refused(Reason::EmptyPayload, "the record has no value; send the encoded payload"));
    }
    if record.payload.len() > spec.max_bytes {
        let (found, most) = (record.payload.len(), spec.max_bytes);
        let message =
            format!("the value has {found} bytes; input {} takes at most {most} (max_bytes)", spec.name);
        return Err(refused(Reason::Oversized, message));
    }
    let media = media(record, spec)?;
    let event_time = Timestamp::from_nanos(event_time(record)?.as_nanos().saturating_add(spec.clock_offset));
    in_range(event_time, record, spec)?;
    let duration = duration(record, &media)?;
    Ok(RecordFields { stream, media, event_time, duration })
}

fn stream(record: &Record, streams: &mut KnownStreams) -> Result<StreamKey, Fault> {
    let Some(key) = record.key.as_deref() else {
        return Err(refused(Reason::MissingKey, "the record has no key; send the stream's name as its key"));
    };
    let text = std::str::from_utf8(key).map_err(|_| {
        refused(Reason::InvalidKey, "the key is not UTF-8; send the stream's name as its key")
    })?;
    if text.is_empty() || text.len() > wire::MAX_KEY_BYTES {
        let most = wire::MAX_KEY_BYTES;
        let message = format!("the key has {} bytes; send 1 to {most}", text.len());
        return Err(refused(Reason::InvalidKey, message));
    }
    Ok(streams.of(text))
}

fn media(record: &Record, spec: &InputSpec) -> Result<Media, Fault> {
    uncoded(record)?;
    let Some((media, header)) = declared(record)? else {
        return Ok(spec.default_media);
    };
    if media.modality() != spec.modality {
        let message = format!(
            "{}: {media} does not suit input {}; send a type such as {}",
            header.name, spec.name, spec.default_media
        );
        return Err(refused(Reason::ContentTypeMismatch, message));
    }
    Ok(media)
}

/// The content type that headers declare, and the first of these headers. All of them must declare the same type.
fn declared(record: &Record) -> Result<Option<(Media, &Header)>, Fault> {
    let mut declared: Option<(Media, &Header)> = None;
    let unknown = |message| refused(Reason::UnknownContentType, message);
    let names = [wire::CONTENT_TYPE, wire::CE_DATACONTENTTYPE];
    for header in record.headers.iter().filter(|header| names.iter().any(|name| header.is(name))) {
        let Some(value) = header.value.as_deref() else { continue };
        let text = std::str::from_utf8(value).map_err(|_| {
            unknown(format!("the header {} is not UTF-8; send a content type, as image/jpeg", header.name))
        })?;
        let media = Media::from_str(text).map_err(|why| unknown(format!("{}: {why}", header.name)))?;
        match declared {
            Some((other, first)) if other != media => {
                return Err(unknown(format!(
                    "two headers contradict each other: {} is {other} and {} is {media}; send one of them",
                    first.name, header.name
                )));
            }
            Some(_) => {}
            None => declared = Some((media, header)),
        }
    }
    Ok(declared)
}

/// Refuses a value with another encoding, such as gzip or base64: raw sound and text would be misread.
fn uncoded(record: &Record) -> Result<(), Fault> {
    const SAME: [&[u8]; 7] = [b"", b"identity", b"none", b"binary", b"8bit", b"7bit", b"utf-8"];
    let coded = record.headers.iter().find(|header| {
        let value = header.value.as_deref().unwrap_or_default().trim_ascii();
        wire::CODINGS.iter().any(|name| header.is(name))
            && !SAME.iter().any(|same| value.eq_ignore_ascii_case(same))
    });
    let Some(Header { name, value }) = coded else { return Ok(()) };
    let value = String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
    let message =
        format!("{name} is {value:?}; send the payload as its content type says, not coded once more");
    Err(refused(Reason::UnknownContentType, message))
}

/// The meaning of another record of the stream with the same event time. Records whose event time is Kafka's own
/// timestamp are always distinct.
fn same_time(record: &Record, spec: &InputSpec) -> SameTime {
    let has_header =
        [wire::CE_TIME, wire::EVENT_TIME_NS].into_iter().any(|name| record.header(name).is_some());
    if has_header { spec.same_time } else { SameTime::Distinct }
}

fn event_time(record: &Record) -> Result<Timestamp, Fault> {
    // Some serializers of headers write texts as JSON, in quotes.
    let text = |name: &str| {
        record.header(name).map(|value| String::from_utf8_lossy(value).trim_matches('"').to_owned())
    };
    if let Some(time) = text(wire::CE_TIME) {
        return Timestamp::parse_rfc3339(&time).map_err(|why| {
            let example = "2026-03-01T12:00:00.25Z";
            refused(
                Reason::InvalidEventTime,
                format!("ce_time {time:?}: {why}; write RFC 3339, as {example}"),
            )
        });
    }
    if let Some(nanos) = text(wire::EVENT_TIME_NS) {
        return nanos.trim().parse().map(Timestamp::from_nanos).map_err(|_| {
            let message =
                format!("event-time-ns {nanos:?} is not a whole number; write nanoseconds since the epoch, as 1772366400250000000");
            refused(Reason::InvalidEventTime, message)
        });
    }
    record.timestamp.ok_or_else(|| {
        let message =
            "the record has no event time; send ce_time, event-time-ns, or the record's own timestamp";
        refused(Reason::InvalidEventTime, message)
    })
}

fn duration(record: &Record, media: &Media) -> Result<Duration, Fault> {
    let computed =
        duration::duration(media, &record.payload).map_err(|why| refused(Reason::Undecodable, why))?;
    let Some(header) = record.header(wire::DURATION_NS).filter(|_| media.modality() != Modality::Audio)
    else {
        return Ok(computed);
    };
    let text = String::from_utf8_lossy(header);
    let nanos = text.trim_matches('"').trim().parse().map(Duration::from_nanos).ok();
    nanos.filter(|lasts| *lasts <= wire::MAX_DURATION).ok_or_else(|| {
        let message = format!(
            "duration-ns {text:?} is not a number from 0 to {} (an hour); write whole nanoseconds, as 2500000000",
            wire::MAX_DURATION.as_nanos()
        );
        refused(Reason::InvalidDuration, message)
    })
}

fn in_range(time: Timestamp, record: &Record, spec: &InputSpec) -> Result<(), Fault> {
    let now = record.polled_at;
    let (earliest, latest) = (now.before(spec.max_past), now.after(spec.max_future));
    if (earliest..=latest).contains(&time) {
        return Ok(());
    }
    let unit = other_unit(time, record, |meant| (earliest..=latest).contains(&meant));
    let message = format!(
        "the event time {time} is not between {earliest} and {latest} (max_past and max_future of input {}){}",
        spec.name,
        unit.unwrap_or_default()
    );
    Err(refused(Reason::EventTimeOutOfRange, message))
}

/// A hint at the unit in which a time was sent, if the time is in range in that unit instead of the correct one.
fn other_unit(time: Timestamp, record: &Record, in_range: impl Fn(Timestamp) -> bool) -> Option<String> {
    const COARSER: [(i64, &str); 3] =
        [(1_000, "microseconds"), (1_000_000, "milliseconds"), (1_000_000_000, "seconds")];
    if record.header(wire::CE_TIME).is_some() {
        return None;
    }
    let (place, right, coarser) = if record.header(wire::EVENT_TIME_NS).is_some() {
        ("event-time-ns", "nanoseconds", &COARSER[..])
    } else {
        ("the record's own timestamp", "milliseconds", &[(1_000, "seconds")][..])
    };
    coarser.iter().find_map(|(factor, unit)| {
        let meant = Timestamp::from_nanos(time.as_nanos().checked_mul(*factor)?);
        in_range(meant).then(|| format!("; {place} seems to be in {unit}: send {right}"))
    })
}

#[cfg(test)]
mod tests;
