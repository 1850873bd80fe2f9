//! Load shedding: samples are dropped unread while a pipeline cannot keep up. It is off unless an input configures
//! it.
//!
//! Shedding depends on the time of arrival, not on event times alone. So the same records need not give the same
//! bundles twice if an input sheds. The rule goes by key, event time and age, before anything is decoded. A shed
//! sample still advances its stream's watermark in alignment, so that no bundle waits for it.

use std::time::Duration;

use crate::sample::StreamKey;
use crate::time::Timestamp;

/// The load shedding of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShedPolicy {
    /// The rule that selects the samples.
    pub rule: ShedRule,
    /// True if shed samples go to the topic of late samples, if there is one.
    pub report: bool,
}

/// The selection of samples to shed while records of their partition wait in Kafka. An age is the wall time from the
/// event time to the arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShedRule {
    /// Sheds samples older than this.
    KeepLatest(Duration),
    /// Keeps one of `one_of` samples. A hash of stream and event time selects it, so that inputs with the same event
    /// times keep the same ones. Shedding begins with a sample older than `above` and ends with one of at most half
    /// that age.
    Sample {
        /// The number of samples of which one is kept; at least 2.
        one_of: u32,
        /// The age at which shedding begins.
        above: Duration,
    },
    /// Sheds streams whose key matches a pattern. Shedding of the first pattern begins with a sample older than
    /// `above`, that of the second with one older than twice `above`, and so on. Each ends with a sample of at most
    /// half of its age. If several patterns match, the last counts. All other streams are kept.
    Priority {
        /// The least important first.
        patterns: Vec<Pattern>,
        /// The age at which shedding of the first pattern begins.
        above: Duration,
    },
}

/// A pattern of stream keys. `*` matches any text; every other character matches itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Creates a pattern.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// True if a text matches the pattern.
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut text) = text.strip_prefix(first) else { return false };
        let mut parts = rest.split('*').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return text.ends_with(part);
            }
            // The leftmost match leaves the most text for the rest of the pattern.
            let Some((_, after)) = text.split_once(part) else { return false };
            text = after;
        }
        true
    }
}

/// The reason why a sample is shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shed {
    /// It is older than [`ShedRule::KeepLatest`] allows.
    TooOld,
    /// [`ShedRule::Sample`] does not keep it.
    Sampled,
    /// Its stream's priority is too low.
    Priority,
}

impl Shed {
    /// The name in metrics, and in the header of a reported sample.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooOld => "too-old",
            Self::Sampled => "sampled",
            Self::Priority => "priority",
        }
    }
}

/// The load shedding of one partition.
#[derive(Debug)]
pub struct Shedder {
    rule: ShedRule,
    /// True while records wait in Kafka; assumed until the source reports the lag.
    lags: bool,
    /// The number of multiples of `above` by which the pipeline is behind, with hysteresis.
    level: u32,
}

impl Shedder {
    /// Creates a shedder that has seen no sample.
    pub fn new(rule: ShedRule) -> Self {
        Self { rule, lags: true, level: 0 }
    }

    /// Takes note of the partition's consumer lag.
    pub fn lag(&mut self, records: i64) {
        self.lags = records > 0;
    }

    /// Decides if a sample that arrives now is shed, and returns the reason. To be called for each sample of the
    /// partition, in order.
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

/// The level after a sample of this age, at most `most`. Level `n` begins above `n * above` and ends at half of that.
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

/// FNV-1a of 64 bits (Fowler, Noll, Vo; RFC 9923), mixed once more because its low bits depend on few input bits. The
/// value is the same on every machine and in every version.
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
