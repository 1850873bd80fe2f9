//! `lockstep simulate`: the law of scaling over virtual time.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use lockstep_engine::scaling::model::{Plant, SimulationRun, SimulationSummary, run as run_model};
use lockstep_engine::scaling::{Law, MachineResources, Policy, ScalingSpec};
use lockstep_settings::{Overrides, load as load_pipeline};

use super::Failure;
use crate::plot::course;
use crate::plot::file::PlotFile;

mod draw;
mod load;
mod plant;
mod report;

const DETAILS: &str = r#"Runs the law that decides how many shards, instances and processes there are over virtual time, on a queueing model of
the pipeline, and tells what comes of it. Nothing is read but the configuration: no broker, no model. The same options
and seed give the same run.

MODEL
Records arrive by chance (Poisson) at the rate of the load and wait in Kafka. Each shard does one record at a time, and
the steps follow one after the other, in batches of at most batch.max_size that wait for at most batch.max_delay. A batch
takes a fixed time and some more for each bundle. When 2048 records are inside, the others wait in Kafka. Shards, and
instances that do not run on a GPU, share the cores. Streams are spread evenly and each record makes one bundle.

The times are not measured by this command. Unless said, a record costs a shard 10 µs, about what a small record takes
in `lockstep bench overhead`, and a batch 1 ms and 0.5 ms for each bundle, as the model of `lockstep bench
efficiency`. Your own stand in /metrics: lockstep_model_busy_seconds_total by lockstep_model_batches_total and by the
sum of lockstep_batch_size.

LOAD
step    the base rate, from a fifth of the time to two fifths the peak, and back: of 300 s a minute
burst   the base rate, and five times for a fiftieth of the time the peak
sine    from the base rate to the peak and back, twice
FILE.csv  lines of `seconds,records_per_second`, ascending; a first line that is no numbers is passed over

Unless said, the base is 60 % of what the numbers at the start can sustain for ever, and the peak three times it.

OUTPUT
A table over time, a line for each decision with the numbers that led to it, and a summary. "too old" is how long the
oldest event was over scaling.target_age at a stretch, at the most; "predicted" is how long that may take with the
policy "target", if its limits suffice. "calm latency" is the mean while nothing was too old. With --policy all the three
policies run under the same load, and the summary has a column for each. --json gives all of it as one object,
with times in seconds. --plot draws the load, lag, age, numbers and latency.

EXAMPLES
  lockstep simulate pipeline.toml --load step
  lockstep simulate pipeline.toml --load step --policy all --cores 16 --record-cost 2ms --plot step.svg
  lockstep simulate pipeline.toml --load trace.csv --batch-cost faces=4ms+600us --backlog 100000 --json | jq .runs[].summary"#;

#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    /// The pipeline's TOML file
    config: PathBuf,
    /// Load: step, burst, sine or a CSV file
    #[arg(long, value_name = "LOAD")]
    load: String,
    /// Records per second at the base of step, burst and sine
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<f64>,
    /// Records per second at their peak
    #[arg(long, value_name = "RATE", value_parser = rate)]
    peak: Option<f64>,
    /// Records that wait at the start
    #[arg(long, value_name = "RECORDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=10_000_000))]
    backlog: u64,
    /// Virtual time to simulate [default: 300, or the length of the CSV file]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(load::LONGEST)))]
    seconds: Option<u32>,
    /// Another number, another chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// fixed, step, target, or all of them [default: as configured]
    #[arg(long, value_name = "POLICY")]
    policy: Option<PolicyChoice>,
    /// The cores of the machine [default: of this one]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    cores: Option<u16>,
    /// The partitions of an input, which bound the number of processes
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..))]
    partitions: u16,
    /// A shard's work for a record
    #[arg(long, value_name = "TIME", default_value = "10us", value_parser = plant::cost)]
    record_cost: Duration,
    /// Time of a step's batch, plus time of each bundle; may be given for each step
    #[arg(long, value_name = "STEP=TIME+TIME", value_parser = plant::batch_cost)]
    batch_cost: Vec<(String, Duration, Duration)>,
    /// Until a new shard works
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = plant::length)]
    shard_start: Duration,
    /// Until a new instance works: loading and warming a model
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = plant::length)]
    instance_start: Duration,
    /// Draw what happened
    #[arg(long, value_name = "FILE.svg", value_parser = crate::plot::file::target())]
    plot: Option<PathBuf>,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PolicyChoice {
    Fixed,
    Step,
    Target,
    All,
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|rate| (0.0..=1e6).contains(rate))
        .ok_or_else(|| "a rate is a number from 0 to 1000000".to_owned())
}

/// A run with one policy.
struct Simulated {
    policy: Policy,
    course: SimulationRun,
    summary: SimulationSummary,
}

/// All that was simulated, and under what.
struct Simulation {
    plant: Plant,
    spec: ScalingSpec,
    seconds: u32,
    seed: u64,
    /// The predicted recovery time, in seconds.
    predicted: f64,
    runs: Vec<Simulated>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let pipeline = load_pipeline(&args.config, &Overrides::default(), &lockstep_assemble::describe)?;
    let cores = args
        .cores
        .map_or_else(|| std::thread::available_parallelism().map_or(1, NonZeroUsize::get), usize::from);
    let plant = plant::plant(&pipeline, &args, cores)?;
    let (load, seconds) = load::load(&args, plant.sustainable())?;
    // Before the work, so that a wrong path fails at once.
    let plot = args.plot.as_deref().map(PlotFile::open).transpose()?;
    let spec = pipeline.scaling;
    let policies: &[Policy] = match args.policy {
        Some(PolicyChoice::All) => &Policy::ALL,
        Some(PolicyChoice::Fixed) => &[Policy::Fixed],
        Some(PolicyChoice::Step) => &[Policy::Step],
        Some(PolicyChoice::Target) => &[Policy::Target],
        None => &[spec.policy],
    };
    let machine = MachineResources { cores, memory: None };
    let runs = policies.iter().map(|policy| {
        let law = Law::new(ScalingSpec { policy: *policy, ..spec.clone() }, machine);
        let course = run_model(&plant, law, &load, seconds, args.seed);
        let summary = course.summary(spec.target.age.as_secs_f64());
        Simulated { policy: *policy, course, summary }
    });
    let start = args.shard_start.max(args.instance_start);
    let simulation = Simulation {
        runs: runs.collect(),
        predicted: spec.recovers_within(start).as_secs_f64(),
        plant,
        spec,
        seconds,
        seed: args.seed,
    };
    if let Some(plot) = plot {
        plot.write(&course::draw(&draw::picture(&simulation)))?;
    }
    let text =
        if args.json { format!("{}\n", report::json(&simulation)) } else { report::tables(&simulation) };
    match std::io::stdout().write_all(text.as_bytes()) {
        // The reader has closed the pipe.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
