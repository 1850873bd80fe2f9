//! Logs: readable on a terminal, JSON where a machine reads them.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// What is logged, and how.
#[derive(clap::Args)]
pub struct Args {
    /// How logs look on standard error
    #[arg(long = "log", global = true, value_enum, default_value_t = Format::Text, env = "LOCKSTEP_LOG_FORMAT")]
    format: Format,
    /// What is logged: a level, or levels by module, as `info,lockstep_connectors=debug`
    #[arg(long = "log-level", global = true, default_value = "info", env = "LOCKSTEP_LOG")]
    filter: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Sends logs to standard error, so that standard output stays for results.
pub fn init(args: &Args) {
    let filter = EnvFilter::try_new(&args.filter).unwrap_or_else(|error| {
        eprintln!("warning: --log-level {:?}: {error}; using info", args.filter);
        EnvFilter::new("info")
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match args.format {
        Format::Text => builder.with_target(false).init(),
        Format::Json => builder.json().flatten_event(true).init(),
    }
}
