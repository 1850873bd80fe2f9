//! Reads dead letters and puts their records back into the original topic.

use bytes::Bytes;

use crate::ingest::wire;
use crate::position::Offset;
use crate::publish::sink::OutRecord;
use crate::sample::Header;
use crate::time::Timestamp;

/// The headers that a dead letter has in addition to those of its record.
const ADDED: [&str; 10] = [
    wire::REASON,
    wire::STAGE,
    wire::MESSAGE,
    wire::ATTEMPTS,
    wire::SOURCE_TOPIC,
    wire::SOURCE_PARTITION,
    wire::SOURCE_OFFSET,
    wire::SOURCE_TIMESTAMP,
    wire::VALUE_LEFT_OUT,
    wire::HEADERS_LEFT_OUT,
];

/// The content of a dead letter's added headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterHeaders {
    /// The kind of fault: [`Reason::code`](crate::fault::Reason::code), or that of another version.
    pub reason: String,
    /// The stage that found it: [`StageKind::code`](crate::fault::StageKind::code), or that of another version.
    pub stage: String,
    /// The message for humans.
    pub message: String,
    /// The number of attempts; 1 if the header is missing.
    pub attempts: u32,
    /// The number of earlier replays of the record.
    pub replays: u32,
    /// The topic that the record came from.
    pub source_topic: String,
    /// Its partition there.
    pub source_partition: i32,
    /// Its offset there.
    pub source_offset: Offset,
    /// The size of its value in bytes, if the value was left out.
    pub value_left_out: Option<u64>,
}

/// The reason why a record cannot be put back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stays {
    /// The record is from the late topic.
    #[error("not a dead letter but a late, evicted or shed record; it cannot be put back")]
    LeftOut,
    /// Lockstep did not dead-letter the record.
    #[error(
        "not a dead letter of Lockstep: header {0} is missing or unreadable; name a topic of dead letters \
         (`results.dead_letters`)"
    )]
    Foreign(&'static str),
    /// The dead letter has no value.
    #[error(
        "its value of {bytes} bytes exceeded the broker's limit and was left out; publish it again from partition \
         {partition} offset {} of {topic} while that topic keeps it",
        .offset.0
    )]
    ValueLeftOut {
        /// The size of the value.
        bytes: u64,
        /// The topic that has the value.
        topic: String,
        /// The partition there.
        partition: i32,
        /// The offset there.
        offset: Offset,
    },
}

impl DeadLetterHeaders {
    /// Reads the added headers of a dead letter.
    ///
    /// # Errors
    /// If the record is not a dead letter of Lockstep.
    pub fn read(headers: &[Header]) -> Result<Self, Stays> {
        let (own, added) = split(headers).ok_or_else(|| {
            let late = text(headers, wire::LATE_BY_NS).and(text(headers, wire::SOURCE_TOPIC));
            if late.is_some() { Stays::LeftOut } else { Stays::Foreign(wire::REASON) }
        })?;
        let was_left_out = [wire::BOUND, wire::RULE].into_iter().any(|name| text(added, name).is_some());
        if was_left_out && text(added, wire::STAGE).is_none() {
            return Err(Stays::LeftOut);
        }
        let required = |name: &'static str| text(added, name).ok_or(Stays::Foreign(name));
        Ok(Self {
            reason: required(wire::REASON)?,
            stage: required(wire::STAGE)?,
            message: text(added, wire::MESSAGE).unwrap_or_default(),
            attempts: number(added, wire::ATTEMPTS).unwrap_or(1),
            replays: number(own, wire::REPLAYS).unwrap_or(0),
            source_topic: required(wire::SOURCE_TOPIC).and_then(|topic| {
                if topic.is_empty() { Err(Stays::Foreign(wire::SOURCE_TOPIC)) } else { Ok(topic) }
            })?,
            source_partition: number(added, wire::SOURCE_PARTITION)
                .filter(|partition| *partition >= 0)
                .ok_or(Stays::Foreign(wire::SOURCE_PARTITION))?,
            source_offset: number(added, wire::SOURCE_OFFSET)
                .map(Offset)
                .ok_or(Stays::Foreign(wire::SOURCE_OFFSET))?,
            value_left_out: number(added, wire::VALUE_LEFT_OUT),
        })
    }

    /// The reason why the record cannot be put back, if any.
    pub fn stays(&self) -> Option<Stays> {
        self.value_left_out.map(|bytes| Stays::ValueLeftOut {
            bytes,
            topic: self.source_topic.clone(),
            partition: self.source_partition,
            offset: self.source_offset,
        })
    }
}

/// Restores the record of a dead letter, for its original topic: its key, value, timestamp and headers, and a header
/// that counts its replays. An absent value and an empty one are the same.
///
/// # Errors
/// If the record is not a dead letter of Lockstep, or has no value.
pub fn put_back(dead_letter: OutRecord) -> Result<(DeadLetterHeaders, OutRecord), Stays> {
    let content = DeadLetterHeaders::read(&dead_letter.headers)?;
    if let Some(why) = content.stays() {
        return Err(why);
    }
    let (own, added) = split(&dead_letter.headers).ok_or(Stays::Foreign(wire::REASON))?;
    // Headers that other tools added since, as tracing does, stay.
    let others = added.iter().filter(|header| !ADDED.contains(&&*header.name));
    let mut headers: Vec<Header> =
        own.iter().chain(others).filter(|header| header.name != wire::REPLAYS).cloned().collect();
    headers.push(Header::new(wire::REPLAYS, content.replays.saturating_add(1).to_string()));
    let timestamp = own_timestamp(&dead_letter.headers, dead_letter.timestamp);
    let record = OutRecord { topic: content.source_topic.as_str().into(), headers, timestamp, ..dead_letter };
    Ok((content, record))
}

/// The timestamp of a dead letter's record: that of the dead letter itself if no header has it.
pub fn own_timestamp(headers: &[Header], of_dead_letter: Option<Timestamp>) -> Option<Timestamp> {
    let original = split(headers).and_then(|(_, added)| number(added, wire::SOURCE_TIMESTAMP));
    original.map(Timestamp::from_millis).or(of_dead_letter)
}

/// The record's own headers, and those added when it was dead-lettered: from the last reason on. The record itself may
/// have had such headers, as a dead letter of another pipeline.
fn split(headers: &[Header]) -> Option<(&[Header], &[Header])> {
    let reason = headers.iter().rposition(|header| header.name == wire::REASON)?;
    headers.split_at_checked(reason)
}

/// The value of the last header of a name.
fn value<'a>(headers: &'a [Header], name: &str) -> Option<&'a Bytes> {
    headers.iter().rev().find(|header| header.name == name)?.value.as_ref()
}

fn text(headers: &[Header], name: &str) -> Option<String> {
    value(headers, name).map(|value| String::from_utf8_lossy(value).into_owned())
}

fn number<T: std::str::FromStr>(headers: &[Header], name: &str) -> Option<T> {
    std::str::from_utf8(value(headers, name)?).ok()?.parse().ok()
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
