//! `lockstep dlq list`: a line for each dead letter, and counts by reason.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use lockstep_engine::publish::side_output::replay::DeadLetterHeaders;

use super::filter::DeadLetterFilter;
use super::topic::{Topic, cancelled, place, read_all};
use super::{notes, render};
use crate::commands::Failure;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    topic: Topic,
    #[command(flatten)]
    filter: DeadLetterFilter,
    /// List replayed dead letters too
    #[arg(long)]
    all: bool,
}

/// The counts of one listing.
#[derive(Default)]
struct ListingCounts {
    by_reason: BTreeMap<String, u64>,
    hidden: u64,
    foreign: u64,
    first_foreign: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let cancelled = cancelled()?;
    let kafka = args.topic.cluster.spec()?;
    let mut whole = args.topic.open(&kafka)?;
    let noted = notes::read(&notes::open(&args.topic.topic, &kafka)?, &args.topic.topic, whole.ranges())?;
    let mut out = std::io::stdout().lock();
    let mut counts = ListingCounts::default();
    let mut is_read = true;
    let complete = read_all(&mut whole, &cancelled, |record| {
        let letter = match DeadLetterHeaders::read(&record.headers) {
            Ok(letter) => letter,
            Err(why) => {
                counts.foreign += 1;
                counts.first_foreign.get_or_insert_with(|| format!("{}: {why}", place(&record)));
                return Ok(true);
            }
        };
        if !args.filter.passes(&letter, &record) {
            return Ok(true);
        }
        let put_back = notes::contains(&noted, place(&record));
        if put_back && !args.all {
            counts.hidden += 1;
            return Ok(true);
        }
        let line = if args.topic.json {
            render::object(&record, &letter, put_back).to_string()
        } else {
            render::line(&record, &letter, put_back)
        };
        *counts.by_reason.entry(letter.reason).or_default() += 1;
        // The reader has closed the pipe (`| head`): not an error.
        is_read = writeln!(out, "{line}").is_ok();
        Ok(is_read)
    })?;
    if !complete {
        return Ok(ExitCode::from(130));
    }
    if is_read && !args.topic.json {
        let _closed = writeln!(out, "{}", summary(&counts));
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(counts: &ListingCounts) -> String {
    let total = render::letters(counts.by_reason.values().sum());
    let mut text = match counts.by_reason.is_empty() {
        true => total,
        false => format!("{total}: {}", render::counts(&counts.by_reason)),
    };
    if counts.hidden > 0 {
        text.push_str(&format!("; {} put back already (--all lists them)", render::letters(counts.hidden)));
    }
    if let Some(first) = &counts.first_foreign {
        let number = counts.foreign;
        text.push_str(&format!("; {number} of the topic's records left out, the first at {first}"));
    }
    text
}
