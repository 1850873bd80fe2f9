//! The choice of dead letters by filters and places.

use std::fmt;
use std::str::FromStr;

use lockstep_engine::publish::side_output::replay::{DeadLetterHeaders, own_timestamp};
use lockstep_engine::time::Timestamp;
use lockstep_kafka::tail::TailRecord;

/// Filters. A dead letter passes if it passes every given filter. A filter with several values passes any of them.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct DeadLetterFilter {
    /// Reason, as oversized or model-failed; each filter may be given more than once
    #[arg(long, value_name = "REASON", help_heading = "Filters")]
    reason: Vec<String>,
    /// Stage that reported it: ingest, align, preprocess, infer or publish
    #[arg(long, value_name = "STAGE", help_heading = "Filters")]
    stage: Vec<String>,
    /// Topic of the original record
    #[arg(long, value_name = "TOPIC", help_heading = "Filters")]
    source: Vec<String>,
    /// Stream key
    #[arg(long, value_name = "KEY", help_heading = "Filters")]
    stream: Vec<String>,
    /// Records with this timestamp (RFC 3339) or a later one
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339, help_heading = "Filters")]
    since: Option<Timestamp>,
    /// Records with a timestamp before this one
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339, help_heading = "Filters")]
    until: Option<Timestamp>,
}

impl DeadLetterFilter {
    /// Returns true if no filter is given.
    pub(super) fn is_empty(&self) -> bool {
        let lists = [&self.reason, &self.stage, &self.source, &self.stream];
        lists.iter().all(|list| list.is_empty()) && self.since.is_none() && self.until.is_none()
    }

    /// Returns true if a dead letter passes.
    pub(super) fn passes(&self, letter: &DeadLetterHeaders, record: &TailRecord) -> bool {
        let timestamp = own_timestamp(&record.headers, record.timestamp);
        let any = |wanted: &[String], is: &str| wanted.is_empty() || wanted.iter().any(|one| one == is);
        any(&self.reason, &letter.reason)
            && any(&self.stage, &letter.stage)
            && any(&self.source, &letter.source_topic)
            && (self.stream.is_empty()
                || self.stream.iter().any(|one| record.key.as_deref() == Some(one.as_bytes())))
            && self.since.is_none_or(|since| timestamp.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| timestamp.is_some_and(|at| at < until))
    }
}

/// The place of a dead letter in its topic: `PARTITION:OFFSET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (partition, offset) = text.split_once(':')?;
            let place = Self { partition: partition.parse().ok()?, offset: offset.parse().ok()? };
            (place.partition >= 0 && place.offset >= 0).then_some(place)
        };
        parse().ok_or_else(|| "write PARTITION:OFFSET, as 0:17; `lockstep dlq list` prints it".into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use clap::Parser;
    use lockstep_engine::position::Offset;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filter: DeadLetterFilter,
    }

    fn filter(args: &[&str]) -> DeadLetterFilter {
        Line::try_parse_from([&["dlq"], args].concat()).expect("valid").filter
    }

    fn letter() -> (DeadLetterHeaders, TailRecord) {
        let letter = DeadLetterHeaders {
            reason: "oversized".into(),
            stage: "ingest".into(),
            message: String::new(),
            attempts: 1,
            replays: 0,
            source_topic: "video".into(),
            source_partition: 0,
            source_offset: Offset(3),
            value_left_out: None,
        };
        let record = TailRecord {
            partition: 0,
            offset: 17,
            key: Some(Bytes::from_static(b"cam-1")),
            value: Bytes::new(),
            headers: Vec::new(),
            timestamp: Some(Timestamp::from_millis(1_000)),
        };
        (letter, record)
    }

    #[test]
    fn filters_pass_any_value_of_each_filter() {
        let (letter, record) = letter();
        for (args, passes) in [
            (&[][..], true),
            (&["--reason", "oversized"], true),
            (&["--reason", "undecodable"], false),
            (&["--reason", "undecodable", "--reason", "oversized"], true),
            (&["--reason", "oversized", "--stage", "infer"], false),
            (&["--source", "video", "--stream", "cam-1"], true),
            (&["--stream", "cam-2"], false),
            (&["--since", "1970-01-01T00:00:01Z"], true),
            (&["--until", "1970-01-01T00:00:01Z"], false),
        ] {
            assert_eq!(filter(args).passes(&letter, &record), passes, "{args:?}");
            assert_eq!(filter(args).is_empty(), args.is_empty());
        }
    }

    #[test]
    fn place_is_read_as_it_is_printed() {
        let place = Place { partition: 3, offset: 17 };
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in ["", "3", "3:", ":17", "-1:3", "3:-1", "a:b"] {
            assert!(Place::from_str(wrong).is_err(), "{wrong:?}");
        }
    }
}
