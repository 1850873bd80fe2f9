//! `lockstep bench`: Lockstep against the bare libraries, in one process and one run, as ratios.

pub mod bare;
mod cpu;
mod delivery;
mod drive;
mod efficiency;
mod feed;
mod gpu;
mod ground;
mod latency;
mod live;
mod load;
mod memory;
mod models;
mod overhead;
mod pipelines;
mod report;
mod shards;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lockstep_actors::Status;
use lockstep_assemble as assemble;
use lockstep_assemble::Failure;
use lockstep_assemble::status_document::{self, Subjects};
use lockstep_engine::telemetry;
use lockstep_http::{Endpoints, HttpServer};
use lockstep_telemetry::{Metrics, install_recorder};

use self::ground::Ground;
use self::report::Report;

const DETAILS: &str = "\
Each bench runs a pipeline in this process and, by turns with it, what a bare library does on the same data. Figures
depend on the machine and on what else runs there; ratios of one run less so. Metrics are recorded meanwhile, as in
`lockstep run`.

Exits with 0 when the figures are there, whether or not they meet their goals, and with 2 when this machine has
not what the bench needs (a GPU).";

/// The arguments of `lockstep bench`.
#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub struct Args {
    #[command(subcommand)]
    bench: Bench,
    /// Print one JSON object for each bench
    #[arg(long, global = true)]
    json: bool,
    /// About how long to measure each case, in seconds; of `load`, how long the step lasts [default: 20; of `load` 60]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: Option<u64>,
    /// Brokers to measure on; topics named lockstep-bench-… are made there [default: an embedded broker]
    #[arg(long, global = true, value_name = "HOST:PORT,…")]
    brokers: Option<String>,
}

#[derive(Clone, clap::Subcommand)]
enum Bench {
    /// A pipeline without a model against a bare librdkafka loop: the ratio of throughput
    Overhead,
    /// A pipeline with a model that dominates against the bare forward loop: the ratio of throughput
    Efficiency,
    /// Exactly-once against at-least-once: the ratio of throughput; takes --brokers, as the embedded one keeps no transactions apart
    Delivery,
    /// Latency that Lockstep adds to a result at half of the sustainable rate
    Latency,
    /// ResNet-50 on an NVIDIA GPU: one at a time, asynchronous, and asynchronous with batching
    Gpu {
        /// `cpu` runs it small and without figures of a GPU, to see that it works
        #[arg(long, hide = true, default_value = "cuda:0")]
        device: String,
    },
    /// Behaviour under load: a step to three times the sustainable rate, the scaling policies, resharding, and up to 100000
    /// streams. Measures memory, ages, pauses and losses. Use --brokers: the embedded broker takes part of the machine and has
    /// little room
    Load {
        /// Measure only this; may be given several times [default: all]
        #[arg(long = "part", value_name = "PART")]
        parts: Vec<load::LoadPart>,
    },
    /// Memory while models are loaded and dropped a hundred times, in each runtime, and while loads fail; memory and time of the load of
    /// a large model, whole and with its weights in shards
    Models {
        /// The folder of the shipped models
        #[arg(long, value_name = "FOLDER", default_value = "models")]
        repository: PathBuf,
        /// Cycles of each runtime and outcome
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(20..))]
        cycles: u16,
    },
    /// A part of `models`: one load, in a process of its own
    #[command(hide = true)]
    LoadProbe(shards::probe::ProbeArgs),
    /// `overhead`, `efficiency` and `latency`, one after the other
    All,
}

/// Runs the benches that `args` name and hands each report to `print`, as a table or as JSON.
///
/// # Errors
/// A bench that cannot run here, with its reason, or a report that cannot be printed.
pub fn run(args: Args, print: &mut dyn FnMut(String) -> std::io::Result<()>) -> Result<ExitCode, Failure> {
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures mean nothing; use cargo build --release");
    }
    if let Bench::Gpu { device } = &args.bench
        && !gpu::is_there(device)?
    {
        return Ok(ExitCode::from(2));
    }
    if let Bench::LoadProbe(probe) = &args.bench {
        print(shards::probe::run(probe)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let metrics = install_recorder()?;
    telemetry::describe();
    let status = Arc::<Status>::default();
    let endpoints = Endpoints {
        metrics: metrics.clone(),
        health: assemble::health("bench".to_owned(), status.clone()),
        status: status_document::check(Subjects::nameless("bench"), status, metrics.clone()),
        scaling: None,
    };
    let _http = HttpServer::start("127.0.0.1:0", endpoints)?;

    let benches = match args.bench.clone() {
        Bench::All => vec![Bench::Overhead, Bench::Efficiency, Bench::Latency],
        one => vec![one],
    };
    for bench in benches {
        let report = measure(&bench, &args, &metrics)?;
        if args.json {
            print(report.json()?)?;
        } else {
            print(report.table())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(bench: &Bench, args: &Args, metrics: &Metrics) -> Result<Report, Failure> {
    if let Bench::Models { repository, cycles } = bench {
        return models::run(repository, usize::from(*cycles));
    }
    let by_default = if matches!(bench, Bench::Load { .. }) { 60 } else { 20 };
    let seconds = Duration::from_secs(args.seconds.unwrap_or(by_default));
    let ground = Ground::new(args.brokers.clone(), seconds, metrics.clone())?;
    match bench {
        Bench::Overhead => overhead::run(&ground),
        Bench::Efficiency => efficiency::run(&ground),
        Bench::Latency => latency::run(&ground),
        Bench::Delivery => delivery::run(&ground),
        Bench::Load { parts } => load::run(&ground, parts),
        Bench::Gpu { device } => gpu::run(&ground, device),
        Bench::Models { .. } | Bench::LoadProbe(_) | Bench::All => {
            Err("one bench at a time is measured".into())
        }
    }
}
