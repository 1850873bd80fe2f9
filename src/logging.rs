//! Logs: text for people, JSON for machines.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// The options of logging.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Format of the log on standard error
    #[arg(long = "log", global = true, value_enum, default_value_t = LogFormat::Text, env = "LOCKSTEP_LOG_FORMAT")]
    format: LogFormat,
    /// Log level, or levels by module, as `info,lockstep_kafka=debug`
    #[arg(long = "log-level", global = true, default_value = "info,actix_server=warn", env = "LOCKSTEP_LOG")]
    filter: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Sends logs to standard error; standard output is for results.
pub(crate) fn init(args: &Args) {
    let filter = EnvFilter::try_new(&args.filter).unwrap_or_else(|error| {
        eprintln!("warning: --log-level {:?}: {error}; using info", args.filter);
        EnvFilter::new("info")
    });
    let colours = std::io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match args.format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
