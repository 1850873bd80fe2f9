//! The dry run's lines: samples in, their fates out, one JSON object each.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::align::{Bound, Bundle, Held, Shortfall, Stamp};
use lockstep_engine::position::{InputId, Position};
use lockstep_engine::sample::{StreamKey, TieBreak};
use lockstep_engine::time::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::wrong;

/// A sample of the dry run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DryRunSample {
    /// The number of its line, from 1.
    pub(super) number: u64,
    pub(super) stream: StreamKey,
    pub(super) input: InputId,
    /// As it was given, a text or a number; else the number of the line.
    pub(super) id: Value,
    pub(super) stamp: Stamp,
    pub(super) arrival: Option<Timestamp>,
    /// True if the line has an id.
    pub(super) named: bool,
    /// The memory of the sample.
    pub(super) bytes: u64,
}

impl Held for DryRunSample {
    fn weight(&self) -> u64 {
        self.bytes
    }

    fn repeats(&self, other: &Self) -> bool {
        self.named && other.named && self.id == other.id
    }

    fn fingerprint(&self) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        self.named.then(|| {
            self.id.hash(&mut hasher);
            hasher.finish()
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputLine {
    stream: String,
    input: String,
    event_time_ns: i64,
    duration_ns: Option<u64>,
    id: Option<Value>,
    arrival_ns: Option<i64>,
    bytes: Option<u64>,
}

/// Reads the `number`th line, counted from 1. `offsets` are added to the event times of the inputs.
///
/// # Errors
/// The mistake in the line and its remedy.
pub(super) fn read(
    line: &str,
    number: u64,
    inputs: &[String],
    offsets: &[i64],
) -> Result<DryRunSample, String> {
    // serde would also accept a list of the values of the fields.
    if !line.starts_with('{') {
        return Err(wrong::in_line(line, ""));
    }
    let line: InputLine =
        serde_json::from_str(line).map_err(|error| wrong::in_line(line, &error.to_string()))?;
    let Some(input) =
        (0_u16..).zip(inputs).find_map(|(id, name)| (*name == line.input).then_some(InputId(id)))
    else {
        let named = wrong::shortened(&line.input);
        return Err(format!(
            "input is {named:?}, which is not in the pipeline; it has {}",
            inputs.join(", ")
        ));
    };
    if line.stream.is_empty() {
        return Err("stream is empty; every sample belongs to one, as \"cam-1\"".into());
    }
    let named = !matches!(line.id, None | Some(Value::Null));
    let id = match line.id {
        None | Some(Value::Null) => Value::from(number),
        Some(id @ (Value::String(_) | Value::Number(_))) => id,
        Some(other) => {
            return Err(format!("id is {}; a text or a number would be right", wrong::shown(&other)));
        }
    };
    let offset = offsets.get(input.index()).copied().unwrap_or(0);
    let event_time = Timestamp::from_nanos(line.event_time_ns.saturating_add(offset));
    let mut stamp = Stamp::new(event_time, Duration::from_nanos(line.duration_ns.unwrap_or(0)));
    if inputs.len() == 1 {
        // As in a pipeline, where the offset tells records of the only input apart.
        stamp.tie_break = TieBreak::by(Position::new(input, 0, i64::try_from(number).unwrap_or(i64::MAX)));
    }
    Ok(DryRunSample {
        number,
        stream: StreamKey::from(line.stream.as_str()),
        input,
        id,
        stamp,
        arrival: line.arrival_ns.map(Timestamp::from_nanos),
        named,
        bytes: line.bytes.unwrap_or(0),
    })
}

/// The fate of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BundleOutcome {
    Goes,
    Dropped(InputId),
    DeadLetter(InputId),
}

/// Values by the inputs' names, in the inputs' order.
type ByInput<'a, V> = Vec<(&'a str, V)>;

fn as_map<V: Serialize, S: Serializer>(values: &ByInput<'_, V>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(name, value)| (name, value)))
}

/// An input that brought too little.
#[derive(Serialize)]
struct Incomplete<'a> {
    input: &'a str,
    reason: &'static str,
}

/// A bundle: `inputs`, `skew_ns` and `coverage` by the inputs' names; an input that is missing has no skew.
#[derive(Serialize)]
struct BundleLine<'a> {
    stream: &'a str,
    event_time_ns: i64,
    #[serde(serialize_with = "as_map")]
    inputs: ByInput<'a, Vec<&'a Value>>,
    #[serde(serialize_with = "as_map")]
    skew_ns: ByInput<'a, i64>,
    #[serde(serialize_with = "as_map", skip_serializing_if = "Vec::is_empty")]
    coverage: ByInput<'a, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u32>,
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    is_final: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unchanged: Option<bool>,
    complete: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    incomplete: Vec<Incomplete<'a>>,
    /// The inputs whose sample is an earlier one that is used again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    held: Vec<&'a str>,
    /// The time that it was open, if the lines have arrivals.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_ns: Option<i64>,
    /// The input whose absence dropped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<&'a str>,
    /// The missing input because of which it was dead-lettered.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<&'a str>,
}

/// A bundle's line, without its end. It has a revision if bundles can be published more than once.
pub(super) fn bundle(
    bundle: &Bundle<Arc<DryRunSample>>,
    verdict: BundleOutcome,
    inputs: &[String],
    revises: bool,
) -> serde_json::Result<String> {
    let name = |input: InputId| inputs.get(input.index()).map(String::as_str);
    let incomplete =
        |it: &Shortfall| Incomplete { input: name(it.input).unwrap_or_default(), reason: it.lack.as_str() };
    let named = || inputs.iter().map(String::as_str).zip(&bundle.parts);
    serde_json::to_string(&BundleLine {
        stream: bundle.stream.as_str(),
        event_time_ns: bundle.event_time.as_nanos(),
        inputs: named()
            .map(|(name, part)| (name, part.samples.iter().map(|item| &item.id).collect()))
            .collect(),
        skew_ns: named().filter_map(|(name, part)| Some((name, part.skew_ns?))).collect(),
        coverage: named().filter_map(|(name, part)| Some((name, part.coverage?))).collect(),
        revision: revises.then_some(bundle.revision),
        is_final: revises.then_some(bundle.is_final),
        unchanged: bundle.is_repeated.then_some(true),
        complete: bundle.is_complete(),
        incomplete: bundle.incomplete.iter().map(incomplete).collect(),
        held: named().filter(|(_, part)| part.held).map(|(name, _)| name).collect(),
        wait_ns: (bundle.opened_at > Timestamp::MIN).then(|| bundle.wait_ns()),
        dropped: if let BundleOutcome::Dropped(input) = verdict { name(input) } else { None },
        dead_letter: if let BundleOutcome::DeadLetter(input) = verdict { name(input) } else { None },
    })
}

/// Why a sample is in no bundle, or in no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Late { by_ns: u64 },
    Duplicate,
    Evicted { bound: Bound, used: u32 },
    TimestampOutlier,
    Unused,
}

#[derive(Serialize)]
struct SampleLine<'a> {
    stream: &'a str,
    input: &'a str,
    id: &'a Value,
    event_time_ns: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    late_by_ns: Option<u64>,
    /// Which bound it fell to.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// In how many bundles it was all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<u32>,
}

/// The line of a sample that is in no bundle or had to go before its last, as `{"late":{…}}`, without its end.
pub(super) fn left_out(item: &DryRunSample, fate: Fate, inputs: &[String]) -> serde_json::Result<String> {
    let (kind, late_by_ns, evicted) = match fate {
        Fate::Late { by_ns } => ("late", Some(by_ns), None),
        Fate::Duplicate => ("duplicate", None, None),
        Fate::Evicted { bound, used } => ("evicted", None, Some((bound, used))),
        Fate::TimestampOutlier => ("outliers", None, None),
        Fate::Unused => ("unused", None, None),
    };
    let line = SampleLine {
        stream: item.stream.as_str(),
        input: inputs.get(item.input.index()).map_or("", String::as_str),
        id: &item.id,
        event_time_ns: item.stamp.event_time.as_nanos(),
        late_by_ns,
        reason: evicted.map(|(bound, _)| bound.as_str()),
        used: evicted.map(|(_, used)| used).filter(|used| *used > 0),
    };
    serde_json::to_string(&BTreeMap::from([(kind, line)]))
}

#[derive(Serialize)]
struct EpochLine<'a> {
    stream: &'a str,
    input: &'a str,
    from_ns: i64,
    to_ns: i64,
}

/// The line of a clock that has stepped, as `{"epoch":{…}}`, without its end.
pub(super) fn epoch(
    stream: &StreamKey,
    input: InputId,
    from: Timestamp,
    to: Timestamp,
    inputs: &[String],
) -> serde_json::Result<String> {
    let line = EpochLine {
        stream: stream.as_str(),
        input: inputs.get(input.index()).map_or("", String::as_str),
        from_ns: from.as_nanos(),
        to_ns: to.as_nanos(),
    };
    serde_json::to_string(&BTreeMap::from([("epoch", line)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["video".into(), "audio".into()]
    }

    #[test]
    fn a_line_is_read_with_all_that_it_may_say() {
        let text = r#"{"stream":"cam-1","input":"audio","event_time_ns":-5,"duration_ns":20,"id":"a","arrival_ns":7}"#;
        let item = read(text, 3, &names(), &[0, 0]).expect("a good line");
        assert_eq!((item.stream.as_str(), item.input, item.id), ("cam-1", InputId(1), Value::from("a")));
        assert_eq!(item.stamp, Stamp::new(Timestamp::from_nanos(-5), Duration::from_nanos(20)));
        assert_eq!(item.arrival, Some(Timestamp::from_nanos(7)));
    }

    #[test]
    fn a_sample_without_id_is_named_by_its_line() {
        let item = read(r#"{"stream":"s","input":"video","event_time_ns":1}"#, 42, &names(), &[])
            .expect("a good line");
        assert_eq!((item.id, item.arrival), (Value::from(42), None));
        assert_eq!(item.stamp.duration, Duration::ZERO);
    }

    #[test]
    fn what_is_null_counts_as_not_given() {
        let text = r#"{"stream":"s","input":"video","event_time_ns":1,"id":null,"duration_ns":null,"bytes":null,"arrival_ns":null}"#;
        let item = read(text, 42, &names(), &[]).expect("a good line");
        assert_eq!(
            item,
            read(r#"{"stream":"s","input":"video","event_time_ns":1}"#, 42, &names(), &[]).expect("too")
        );
        assert!(!item.named && item.fingerprint().is_none());
    }

    #[test]
    fn names_are_told_shortened() {
        let long = "v".repeat(1_000_000);
        for line in [
            format!(r#"{{"stream":"s","input":"{long}","event_time_ns":1}}"#),
            format!(r#"{{"stream":"s","input":"video","event_time_ns":1,"id":["{long}"]}}"#),
        ] {
            assert!(read(&line, 1, &names(), &[]).expect_err("wrong").len() < 200);
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_with_the_remedy() {
        for (line, says) in [
            (r#"{"stream":"s","input":"radar","event_time_ns":1}"#, "it has video, audio"),
            (r#"{"stream":"","input":"video","event_time_ns":1}"#, "every sample belongs to one"),
            (r#"{"stream":"s","input":"video","event_time_ns":1,"id":[]}"#, "a text or a number"),
        ] {
            let error = read(line, 1, &names(), &[]).expect_err(line);
            assert!(error.contains(says), "{line}: {error}");
        }
    }

    #[test]
    fn a_sample_left_out_says_why() {
        let item = read(r#"{"stream":"s","input":"audio","event_time_ns":1,"id":8}"#, 1, &names(), &[])
            .expect("good");
        assert_eq!(
            left_out(&item, Fate::Late { by_ns: 3 }, &names()).expect("a line"),
            r#"{"late":{"stream":"s","input":"audio","id":8,"event_time_ns":1,"late_by_ns":3}}"#
        );
        assert_eq!(
            left_out(&item, Fate::Duplicate, &names()).expect("a line"),
            r#"{"duplicate":{"stream":"s","input":"audio","id":8,"event_time_ns":1}}"#
        );
        let evicted = |used| Fate::Evicted { bound: Bound::StreamItems, used };
        assert_eq!(
            left_out(&item, evicted(0), &names()).expect("a line"),
            r#"{"evicted":{"stream":"s","input":"audio","id":8,"event_time_ns":1,"reason":"stream-items"}}"#
        );
        assert!(left_out(&item, evicted(2), &names()).expect("a line").contains(r#""used":2"#));
    }
}
