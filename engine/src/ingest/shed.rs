//! What is put aside unread when a pipeline cannot keep up: off unless an input asks for it.
//!
//! What is shed depends on when it arrives, not on event times alone: with a shedding input the same records need not
//! give the same bundles twice. It is decided by key, event time and age, before anything is decoded. What is shed still
//! tells alignment how far its stream has come, so that nobody waits for it.

use std::time::Duration;

use crate::sample::StreamKey;
use crate::time::Timestamp;

/// Which samples of an input are shed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShedPolicy {
    /// Which.
    pub rule: ShedRule,
    /// Whether they go to the topic of late samples, if there is one.
    pub report: bool,
}

/// Which samples are shed while records of their partition wait in Kafka. Ages are from the event time to the arrival, in wall
/// time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShedRule {
    /// Those that are older than this.
    KeepLatest(Duration),
    /// All but one of so many, chosen by a hash of stream and event time, so that inputs with the same event times keep
    /// the same ones. It begins with a sample that is older than `above` and ends with one of at most half of that.
    Sample {
        /// One of so many is kept, from 2.
        one_of: u32,
        /// The age from which on.
        above: Duration,
    },
    /// Those of streams whose key matches a pattern. The first pattern's are shed from a sample on that is older than
    /// `above`, the second's from twice that, and so on; each until a sample of at most half of its age. Of several patterns
    /// that match the last counts. All other streams are kept.
    Priority {
        /// The least important first.
        patterns: Vec<Pattern>,
        /// The age from which on.
        above: Duration,
    },
}

/// A pattern of stream keys: `*` stands for any text, everything else for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether a text is as it says.
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut text) = text.strip_prefix(first) else { return false };
        let mut parts = rest.split('*').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return text.ends_with(part);
            }
            // The leftmost place leaves the most for what follows.
            let Some((_, after)) = text.split_once(part) else { return false };
            text = after;
        }
        true
    }
}

/// Why a sample is shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shed {
    /// It is older than [`ShedRule::KeepLatest`] says.
    TooOld,
    /// It is none of those that [`ShedRule::Sample`] keeps.
    Sampled,
    /// Its stream is not important enough.
    Priority,
}

impl Shed {
    /// As it stands in metrics, and in the header of what is reported.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooOld => "too-old",
            Self::Sampled => "sampled",
            Self::Priority => "priority",
        }
    }
}

/// Sheds the samples of one partition.
#[derive(Debug)]
pub struct Shedder {
    rule: ShedRule,
    /// Whether records wait in Kafka; taken to be so until the source says otherwise.
    lags: bool,
    /// How many multiples of `above` the pipeline is behind, with hysteresis.
    level: u32,
}

impl Shedder {
    /// One that has seen nothing yet.
    pub fn new(rule: ShedRule) -> Self {
        Self { rule, lags: true, level: 0 }
    }

    /// So many records of the partition are still to be read.
    pub fn lag(&mut self, records: i64) {
        self.lags = records > 0;
    }

    /// Whether a sample that arrives now is shed, and why. Asked of each in the order of the partition.
    pub fn decide(&mut self, stream: &StreamKey, event_time: Timestamp, now: Timestamp) -> Option<Shed> {
        let age = now.since(event_time);
        match &self.rule {
            ShedRule::KeepLatest(most) => (self.lags && age > *most).then_some(Shed::TooOld),
            ShedRule::Sample { one_of, above } => {
                self.level = if self.lags { level(self.level, age, *above, 1) } else { 0 };
                let is_kept = hash(stream, event_time).is_multiple_of(u64::from(*one_of).max(1));
                (self.level > 0 && !is_kept).then_some(Shed::Sampled)
            }
            ShedRule::Priority { patterns, above } => {
                let most = u32::try_from(patterns.len()).unwrap_or(u32::MAX);
                self.level = if self.lags { level(self.level, age, *above, most) } else { 0 };
                if self.level == 0 {
                    return None;
                }
                let rank = patterns.iter().rposition(|pattern| pattern.matches(stream.as_str()))?;
                (rank < self.level as usize).then_some(Shed::Priority)
            }
        }
    }
}

/// Of how many multiples of `above`, up to `most`, the backlog has been since it was last at most half of that.
fn level(before: u32, age: Duration, above: Duration, most: u32) -> u32 {
    let is_above = |multiple: u32| age > above.saturating_mul(multiple);
    let mut level = before;
    while level < most && is_above(level + 1) {
        level += 1;
    }
    while level > 0 && age <= above.saturating_mul(level) / 2 {
        level -= 1;
    }
    level
}

/// FNV-1a of 64 bits (Fowler, Noll, Vo; RFC 9923), mixed once more as its low bits depend on few: the same on every machine,
/// for ever.
fn hash(stream: &StreamKey, event_time: Timestamp) -> u64 {
    let bytes = stream.as_str().bytes().chain(event_time.as_nanos().to_le_bytes());
    let hash = bytes.fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD) >> 16
}

#[cfg(test)]
#[path = "shed_tests.rs"]
mod tests;
