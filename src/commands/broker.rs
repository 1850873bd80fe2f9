//! `lockstep broker`

use std::process::ExitCode;

use lockstep_kafka::embedded::{AUTO_PARTITIONS, EmbeddedBroker, LIMITS};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Failure;
use crate::output::print_line;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A topic to make, and how many partitions it has (4 if not said); may be given more than once
    #[arg(long = "topic", value_name = "NAME[:PARTITIONS]", value_parser = topic)]
    topics: Vec<(String, i32)>,
}

fn topic(text: &str) -> Result<(String, i32), String> {
    let Some((name, count)) = text.rsplit_once(':') else { return Ok((text.into(), AUTO_PARTITIONS)) };
    match count.parse() {
        Ok(count) if count >= 1 => Ok((name.into(), count)),
        _ => Err(format!("{count:?} is not a number of partitions; NAME:4 would be right")),
    }
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let broker = EmbeddedBroker::start(&args.topics)?;
    print_line(broker.address())?;
    eprintln!("The embedded broker listens on {}. Stop it with Ctrl-C.", broker.address());
    for (name, partitions) in &args.topics {
        eprintln!("  topic {name} with {partitions} partitions");
    }
    eprintln!("{LIMITS}");
    let _signal = signals.forever().next();
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::topic;

    #[test]
    fn a_topic_may_name_its_partitions() {
        assert_eq!(topic("video:8"), Ok(("video".into(), 8)));
        assert_eq!(topic("video"), Ok(("video".into(), 4)));
        assert!(topic("video:none").is_err() && topic("video:0").is_err());
    }
}
