//! Dead letters read back, and put back where they came from.

use bytes::Bytes;

use crate::ingest::wire;
use crate::position::Offset;
use crate::publish::sink::OutRecord;
use crate::sample::Header;
use crate::time::Timestamp;

/// The headers that a dead letter has beside those of its record.
const TOLD: [&str; 10] = [
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

/// What a dead letter tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The kind of fault: [`Reason::code`](crate::fault::Reason::code), or that of another version.
    pub reason: String,
    /// Who found it: [`StageKind::code`](crate::fault::StageKind::code), or that of another version.
    pub stage: String,
    /// The same in words.
    pub message: String,
    /// How often it was tried; 1 if that is not told.
    pub attempts: u32,
    /// How often the record had been put back before.
    pub replays: u32,
    /// The topic that the record came from.
    pub source_topic: String,
    /// Its partition there.
    pub source_partition: i32,
    /// Its offset there.
    pub source_offset: Offset,
    /// How many bytes its value had, if that was left out.
    pub value_left_out: Option<u64>,
}

/// Why a record cannot be put back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stays {
    /// It is of the late topic.
    #[error(
        "it is no dead letter but a record that took no part, being late, having to make room or being shed"
    )]
    LeftOut,
    /// It was not dead-lettered by Lockstep.
    #[error(
        "it is no dead letter of Lockstep: its header {0} is missing or cannot be read; name a topic of dead \
         letters (`results.dead_letters`)"
    )]
    Foreign(&'static str),
    /// The dead letter goes without the value.
    #[error(
        "its value of {bytes} bytes was left out, being more than the broker takes; it stands at partition \
         {partition} offset {} of {topic}, as long as that topic keeps it: publish it again from there",
        .offset.0
    )]
    ValueLeftOut {
        /// How large the value is.
        bytes: u64,
        /// The topic where it stands.
        topic: String,
        /// The partition there.
        partition: i32,
        /// The offset there.
        offset: Offset,
    },
}

impl DeadLetter {
    /// Reads what a dead letter tells from its headers.
    ///
    /// # Errors
    /// If it is none of Lockstep's.
    pub fn read(headers: &[Header]) -> Result<Self, Stays> {
        let (own, told) = split(headers).ok_or_else(|| {
            let late = text(headers, wire::LATE_BY_NS).and(text(headers, wire::SOURCE_TOPIC));
            if late.is_some() { Stays::LeftOut } else { Stays::Foreign(wire::REASON) }
        })?;
        let was_left_out = [wire::BOUND, wire::RULE].into_iter().any(|name| text(told, name).is_some());
        if was_left_out && text(told, wire::STAGE).is_none() {
            return Err(Stays::LeftOut);
        }
        let required = |name: &'static str| text(told, name).ok_or(Stays::Foreign(name));
        Ok(Self {
            reason: required(wire::REASON)?,
            stage: required(wire::STAGE)?,
            message: text(told, wire::MESSAGE).unwrap_or_default(),
            attempts: number(told, wire::ATTEMPTS).unwrap_or(1),
            replays: number(own, wire::REPLAYS).unwrap_or(0),
            source_topic: required(wire::SOURCE_TOPIC).and_then(|topic| {
                if topic.is_empty() { Err(Stays::Foreign(wire::SOURCE_TOPIC)) } else { Ok(topic) }
            })?,
            source_partition: number(told, wire::SOURCE_PARTITION)
                .filter(|partition| *partition >= 0)
                .ok_or(Stays::Foreign(wire::SOURCE_PARTITION))?,
            source_offset: number(told, wire::SOURCE_OFFSET)
                .map(Offset)
                .ok_or(Stays::Foreign(wire::SOURCE_OFFSET))?,
            value_left_out: number(told, wire::VALUE_LEFT_OUT),
        })
    }

    /// Why the record cannot be put back, if it cannot.
    pub fn stays(&self) -> Option<Stays> {
        self.value_left_out.map(|bytes| Stays::ValueLeftOut {
            bytes,
            topic: self.source_topic.clone(),
            partition: self.source_partition,
            offset: self.source_offset,
        })
    }
}

/// The record that a dead letter is of, for the topic where it came from: its key, value, timestamp and headers, and
/// one that counts how often it has been put back. An absent value and one of no bytes are the same.
///
/// # Errors
/// If it is no dead letter of Lockstep, or one without its value.
pub fn put_back(letter: OutRecord) -> Result<(DeadLetter, OutRecord), Stays> {
    let told = DeadLetter::read(&letter.headers)?;
    if let Some(why) = told.stays() {
        return Err(why);
    }
    let (own, added) = split(&letter.headers).ok_or(Stays::Foreign(wire::REASON))?;
    // What others have added since, as tracing does, stays.
    let others = added.iter().filter(|header| !TOLD.contains(&&*header.name));
    let mut headers: Vec<Header> =
        own.iter().chain(others).filter(|header| header.name != wire::REPLAYS).cloned().collect();
    headers.push(Header::new(wire::REPLAYS, told.replays.saturating_add(1).to_string()));
    let timestamp = own_timestamp(&letter.headers, letter.timestamp);
    let record = OutRecord { topic: told.source_topic.as_str().into(), headers, timestamp, ..letter };
    Ok((told, record))
}

/// The timestamp that a dead letter's record had: that of the letter itself where it tells none.
pub fn own_timestamp(headers: &[Header], of_letter: Option<Timestamp>) -> Option<Timestamp> {
    let told = split(headers).and_then(|(_, told)| number(told, wire::SOURCE_TIMESTAMP));
    told.map(Timestamp::from_millis).or(of_letter)
}

/// The headers of the record, and those that came with its death: from the last reason on. The record itself may have
/// had headers of such names, being a dead letter of another pipeline, say.
fn split(headers: &[Header]) -> Option<(&[Header], &[Header])> {
    let reason = headers.iter().rposition(|header| header.name == wire::REASON)?;
    headers.split_at_checked(reason)
}

/// The last value of a name.
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
