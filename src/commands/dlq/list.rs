//! `lockstep dlq list`

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use lockstep_engine::publish::side_output::replay::DeadLetter;

use super::{Failure, Filter, Topic, notes, place, render};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    topic: Topic,
    #[command(flatten)]
    filter: Filter,
    /// List those as well that have been put back
    #[arg(long)]
    all: bool,
}

/// What has been seen.
#[derive(Default)]
struct Seen {
    by_reason: BTreeMap<String, u64>,
    hidden: u64,
    foreign: u64,
    first_foreign: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let cancelled = super::cancelled()?;
    let kafka = args.topic.cluster.spec()?;
    let mut whole = args.topic.open(&kafka)?;
    let noted = notes::read(&notes::open(&args.topic.topic, &kafka)?, &args.topic.topic, whole.ranges())?;
    let mut out = std::io::stdout().lock();
    let mut seen = Seen::default();
    let mut heard = true;
    let complete = super::read_all(&mut whole, &cancelled, |record| {
        let letter = match DeadLetter::read(&record.headers) {
            Ok(letter) => letter,
            Err(why) => {
                seen.foreign += 1;
                seen.first_foreign.get_or_insert_with(|| format!("{}: {why}", place(&record)));
                return Ok(true);
            }
        };
        if !args.filter.passes(&letter, &record) {
            return Ok(true);
        }
        let put_back = notes::contains(&noted, place(&record));
        if put_back && !args.all {
            seen.hidden += 1;
            return Ok(true);
        }
        let line = if args.topic.json {
            render::object(&record, &letter, put_back).to_string()
        } else {
            render::line(&record, &letter, put_back)
        };
        *seen.by_reason.entry(letter.reason).or_default() += 1;
        // Nobody reads any more (`| head`): not an error.
        heard = writeln!(out, "{line}").is_ok();
        Ok(heard)
    })?;
    if !complete {
        return Ok(ExitCode::from(130));
    }
    if heard && !args.topic.json {
        let _nobody_reads = writeln!(out, "{}", summary(&seen));
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(seen: &Seen) -> String {
    let total = render::letters(seen.by_reason.values().sum());
    let mut text = match seen.by_reason.is_empty() {
        true => total,
        false => format!("{total}: {}", render::counts(&seen.by_reason)),
    };
    if seen.hidden > 0 {
        text.push_str(&format!("; {} put back already (--all lists them)", render::letters(seen.hidden)));
    }
    if let Some(first) = &seen.first_foreign {
        let number = seen.foreign;
        text.push_str(&format!("; {number} of the topic's records left out, the first at {first}"));
    }
    text
}
