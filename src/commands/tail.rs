//! `lockstep tail`

mod render;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use lockstep_kafka::tail::{self, Tail};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::Failure;
use super::cluster::Cluster;
#[allow(unused_imports, reason = "the demo shows results as this command does")]
pub(crate) use render::{render_line, time_of_day};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The topic to follow
    topic: String,
    #[command(flatten)]
    cluster: Cluster,
    /// Print each value as it is, one a line
    #[arg(long)]
    json: bool,
    /// The records to begin with
    #[arg(long, value_enum, default_value_t = TailStart::End)]
    from: TailStart,
    /// Stop after this number of records
    #[arg(long, value_name = "N")]
    max: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum TailStart {
    /// At the oldest record
    Beginning,
    /// At the end of the topic
    End,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let cancelled = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, cancelled.clone())?;
    }
    let from = match args.from {
        TailStart::Beginning => tail::From::Beginning,
        TailStart::End => tail::From::End,
    };
    let kafka = args.cluster.spec()?;
    let mut tail = Tail::open(&kafka.brokers, &kafka.consumer, &args.topic, from)?;
    let mut left = args.max.unwrap_or(u64::MAX);
    let mut out = std::io::stdout().lock();
    while left > 0 && !cancelled.load(Ordering::Relaxed) {
        let Some(record) = tail.next(Duration::from_millis(100))? else { continue };
        left -= 1;
        let line = if args.json { raw_line(&record.value) } else { readable(&record) };
        // The reader has closed the pipe (`| head`): not an error.
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One line, whatever the value: JSON is made compact, other values become JSON strings.
fn raw_line(value: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(value)
        .unwrap_or_else(|_| String::from_utf8_lossy(value).into())
        .to_string()
}

fn readable(record: &tail::TailRecord) -> String {
    match serde_json::from_slice(&record.value) {
        Ok(value) => render_line(&value),
        Err(_) => {
            let key = record.key.as_deref().map_or("-".into(), String::from_utf8_lossy);
            format!("{key}  {} bytes that are not JSON", record.value.len())
        }
    }
}
