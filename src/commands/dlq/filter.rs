//! Which letters are meant.

use std::fmt;
use std::str::FromStr;

use lockstep_connectors::kafka::tail::TailRecord;
use lockstep_engine::publish::side_output::replay::{DeadLetter, own_timestamp};
use lockstep_engine::time::Timestamp;

/// Filters. A letter passes if it passes each that is given; of one that is given several times, any value.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Those of this reason, as oversized or model-failed; may be given more than once, as the others
    #[arg(long, value_name = "REASON", help_heading = "Filters")]
    reason: Vec<String>,
    /// Those found by this stage: ingest, align, preprocess, infer or publish
    #[arg(long, value_name = "STAGE", help_heading = "Filters")]
    stage: Vec<String>,
    /// Those that came from this topic
    #[arg(long, value_name = "TOPIC", help_heading = "Filters")]
    source: Vec<String>,
    /// Those of this stream
    #[arg(long, value_name = "KEY", help_heading = "Filters")]
    stream: Vec<String>,
    /// Those whose records have a timestamp of this time (RFC 3339) or later
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339, help_heading = "Filters")]
    since: Option<Timestamp>,
    /// Those whose records have a timestamp before this time
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339, help_heading = "Filters")]
    until: Option<Timestamp>,
}

impl Filter {
    /// Whether none is given.
    pub(super) fn is_empty(&self) -> bool {
        let lists = [&self.reason, &self.stage, &self.source, &self.stream];
        lists.iter().all(|list| list.is_empty()) && self.since.is_none() && self.until.is_none()
    }

    /// Whether a letter passes.
    pub(super) fn passes(&self, letter: &DeadLetter, record: &TailRecord) -> bool {
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

/// Where a letter stands: `PARTITION:OFFSET`.
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
        parse()
            .ok_or_else(|| "PARTITION:OFFSET would be right, as 0:17; `lockstep dlq list` prints it".into())
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
        filter: Filter,
    }

    fn filter(args: &[&str]) -> Filter {
        Line::try_parse_from([&["dlq"], args].concat()).expect("right").filter
    }

    fn letter() -> (DeadLetter, TailRecord) {
        let letter = DeadLetter {
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
    fn a_letter_passes_if_it_passes_each_filter_with_any_of_its_values() {
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
    fn a_place_is_read_as_it_is_printed() {
        let place = Place { partition: 3, offset: 17 };
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in ["", "3", "3:", ":17", "-1:3", "3:-1", "a:b"] {
            assert!(Place::from_str(wrong).is_err(), "{wrong:?}");
        }
    }
}
