//! The `lockstep` command. Each subcommand is a file under `commands`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod commands;
mod feed;
mod logging;
mod output;
mod plot;
#[cfg(debug_assertions)]
mod wall_clock;

/// Records are allocated by one thread and freed by another, for which the system's allocator on Linux needs locks.
/// mimalloc also replaces `malloc`, for the memory of librdkafka and libtorch.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Aligns video, sound and text from Kafka topics by event time and runs models on each bundle.
#[derive(Parser)]
#[command(version, about, max_term_width = 100, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logging: logging::Args,
}

#[derive(Subcommand)]
enum Command {
    /// Show the main job on an embedded broker with real models and a real clip
    Demo(commands::demo::Args),
    /// Run a pipeline against its brokers
    Run(commands::run::Args),
    /// Check a pipeline's configuration and its models without running anything
    Check(commands::check::Args),
    /// Publish videos, images, sound or text to a pipeline's input topics
    Publish(commands::publish::Args),
    /// Follow a result topic
    Tail(commands::tail::Args),
    /// List, show and replay dead letters
    Dlq(commands::dlq::Args),
    /// Run the embedded broker in the foreground
    Broker(commands::broker::Args),
    /// Create a pipeline's topics
    Topics(commands::topics::Args),
    /// Describe, check and measure single models
    Models(commands::models::Args),
    /// Try a pipeline's alignment on a list of samples, without Kafka or models
    Align(commands::align::Args),
    /// Show the load of a running process, live
    Top(commands::top::Args),
    /// Show or set the numbers of shards and instances of a running process
    Scale(commands::scale::Args),
    /// Simulate how shards, instances and processes follow a load, in virtual time
    Simulate(commands::simulate::Args),
    /// Measure Lockstep against the bare libraries
    Bench(lockstep_bench::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init(&cli.logging);
    #[cfg(debug_assertions)]
    wall_clock::follow();
    let outcome = match cli.command {
        Command::Demo(args) => commands::demo::run(args),
        Command::Run(args) => commands::run::run(args),
        Command::Check(args) => commands::check::run(args),
        Command::Publish(args) => commands::publish::run(args),
        Command::Tail(args) => commands::tail::run(args),
        Command::Dlq(args) => commands::dlq::run(args),
        Command::Broker(args) => commands::broker::run(args),
        Command::Topics(args) => commands::topics::run(args),
        Command::Models(args) => commands::models::run(args),
        Command::Align(args) => commands::align::run(args),
        Command::Top(args) => commands::top::run(args),
        Command::Scale(args) => commands::scale::run(args),
        Command::Simulate(args) => commands::simulate::run(args),
        Command::Bench(args) => lockstep_bench::run(args, &mut |report| output::print_line(report)),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
