//! `lockstep dlq show`: all fields of one dead letter, and its value as a file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lockstep_engine::publish::side_output::replay::DeadLetterHeaders;
use lockstep_kafka::tail::TailRecord;
use lockstep_kafka::topic_snapshot::TopicSnapshot;
use serde_json::{Value, json};

use super::filter::Place;
use super::topic::{Topic, cancelled, place, read_all};
use super::{notes, render};
use crate::commands::Failure;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    topic: Topic,
    /// Place in the topic, as `dlq list` prints it
    #[arg(value_name = "PARTITION:OFFSET")]
    place: Place,
    /// Save the value to a file; `-` writes it to standard output, and the rest to standard error
    #[arg(long, value_name = "FILE")]
    value: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let cancelled = cancelled()?;
    let Topic { topic, cluster, json } = &args.topic;
    let kafka = cluster.spec()?;
    let Place { partition, offset } = args.place;
    let mut whole = TopicSnapshot::open_at(&kafka.brokers, &kafka.consumer, topic, partition, offset)?;
    let mut found = None;
    let complete = read_all(&mut whole, &cancelled, |record| {
        found = Some(record);
        Ok(false)
    })?;
    if !complete {
        return Ok(ExitCode::from(130));
    }
    let Some(record) = found else {
        return Err(format!("there is nothing at {} of {topic}: {}", args.place, ranges(&whole)).into());
    };
    let letter = DeadLetterHeaders::read(&record.headers)
        .map_err(|why| format!("{} of {topic}: {why}", args.place))?;
    let noted = notes::read(&notes::open(topic, &kafka)?, topic, whole.ranges())?;
    let put_back = notes::contains(&noted, args.place);
    let text =
        if *json { object(&record, &letter, put_back).to_string() } else { page(&record, &letter, put_back) };
    let to_stdout = args.value.as_deref() == Some(Path::new("-"));
    // The reader has closed the pipe (`| head`): not an error.
    let _closed =
        if to_stdout { writeln!(std::io::stderr(), "{text}") } else { writeln!(std::io::stdout(), "{text}") };
    if let Some(file) = &args.value {
        if let Some(why) = letter.stays() {
            return Err(format!("there is no value to save: {why}").into());
        }
        if to_stdout {
            std::io::stdout().write_all(&record.value)?;
        } else {
            std::fs::write(file, &record.value)
                .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn ranges(whole: &TopicSnapshot) -> String {
    let each: Vec<String> = (0..)
        .zip(whole.ranges())
        .map(|(partition, range): (i32, _)| {
            if range.is_empty() {
                format!("partition {partition} has none")
            } else {
                format!("partition {partition} has offsets {} to {}", range.start, range.end - 1)
            }
        })
        .collect();
    each.join(", ")
}

fn object(record: &TailRecord, letter: &DeadLetterHeaders, put_back: bool) -> Value {
    let mut object = render::object(record, letter, put_back);
    let headers: Vec<Value> = record
        .headers
        .iter()
        .map(|header| {
            let value = header.value.as_deref().map(String::from_utf8_lossy);
            json!({ "name": header.name, "value": value })
        })
        .collect();
    if let Some(object) = object.as_object_mut() {
        object.insert("headers".into(), headers.into());
    }
    object
}

fn page(record: &TailRecord, letter: &DeadLetterHeaders, put_back: bool) -> String {
    let size = match letter.value_left_out {
        Some(bytes) => format!("left out, being of {bytes} bytes"),
        None => format!("{} bytes", record.value.len()),
    };
    let before = match letter.replays {
        0 => String::new(),
        count => format!("; its record {} before", render::times(count)),
    };
    let lines = [
        ("letter", place(record).to_string()),
        ("reason", render::plain(&letter.reason)),
        ("found by", render::plain(&letter.stage)),
        ("found", render::plain(&letter.message)),
        ("tried", render::times(letter.attempts)),
        ("put back", format!("{}{before}", if put_back { "yes" } else { "no" })),
        (
            "came from",
            format!(
                "{} partition {} offset {}",
                render::plain(&letter.source_topic),
                letter.source_partition,
                letter.source_offset.0
            ),
        ),
        ("stream", render::stream(record)),
        ("timestamp", render::time(record)),
        ("value", size),
    ];
    let mut text: Vec<String> = lines.iter().map(|(name, value)| format!("{name:<10} {value}")).collect();
    text.push("headers".into());
    text.extend(record.headers.iter().map(|header| format!("  {}", render::header(header))));
    text.join("\n")
}
