//! One load in a process of its own: what it takes of time and memory. A process that has loaded before would reuse that memory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lockstep_assemble::{Failure, backends_for};
use lockstep_backend::{Backend, Model};
use lockstep_engine::infer::load_model::{Device, LoadModel};
use lockstep_engine::infer::manifest::Manifest;
use lockstep_engine::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::synthetic::WIDTH;
use crate::memory::{self, Memory};

/// The rows of a batch.
const ROWS: usize = 4;
/// The batches of which the fastest counts.
const RUNS: usize = 40;

/// The arguments of the process.
#[derive(Clone, clap::Args)]
pub(crate) struct ProbeArgs {
    /// The model.toml of the model to load; its file lies in the same folder
    #[arg(long)]
    manifest: PathBuf,
    /// A small model of the same runtime, which is loaded first
    #[arg(long)]
    idle: PathBuf,
}

/// The measures of a load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LoadCost {
    /// The time of the load in milliseconds.
    pub(super) load_ms: f64,
    /// The fastest batch in milliseconds.
    pub(super) batch_ms: f64,
    /// Memory above that of the idle process at the worst moment of the load, in bytes.
    pub(super) peak: f64,
    /// Memory of its own that the process has more than idle, after the first batches.
    pub(super) own: f64,
    /// Memory of its own that a second instance adds, after its first batch.
    pub(super) second: f64,
    /// The first values of the output.
    pub(super) output: Vec<f32>,
}

/// Measures, and returns the result as JSON.
pub(crate) fn run(args: &ProbeArgs) -> Result<String, Failure> {
    let backends = backends_for([Device::Cpu]);
    let (name, model) = read(&args.manifest)?;
    let backend = backends.iter().find(|backend| backend.name() == name);
    let backend = backend.ok_or_else(|| format!("{name}: no such runtime"))?;
    let (_, idle) = read(&args.idle)?;
    drop(backend.load(&idle)?);
    let cost = measure(&**backend, &model)?;
    Ok(serde_json::to_string(&cost)?)
}

fn read(manifest: &Path) -> Result<(String, LoadModel), Failure> {
    let wrong = |why: String| format!("{}: {why}", manifest.display());
    let text = std::fs::read_to_string(manifest).map_err(|error| wrong(error.to_string()))?;
    let read = Manifest::parse(&text).map_err(|errors| wrong(errors.join("; ")))?;
    let folder = manifest.parent().unwrap_or(Path::new("."));
    Ok((read.backend.clone(), read.model(folder, "probe", "1")))
}

#[allow(clippy::disallowed_methods, reason = "it measures: it reads the clock itself")]
fn measure(backend: &dyn Backend, model: &LoadModel) -> Result<LoadCost, Failure> {
    // Makes the most memory of the process that of now; see proc(5).
    std::fs::write("/proc/self/clear_refs", "5")?;
    let idle = memory()?;
    let from = Instant::now();
    let mut one = backend.load(model)?;
    let (took, loaded) = (from.elapsed(), memory()?);
    let mut fastest = Duration::MAX;
    let mut output = Vec::new();
    for _ in 0..RUNS {
        let from = Instant::now();
        output = once(&mut *one)?;
        fastest = fastest.min(from.elapsed());
    }
    let first = memory()?;
    let mut two = backend.load(model)?;
    once(&mut *two)?;
    let second = memory()?;
    output.truncate(16);
    Ok(LoadCost {
        load_ms: took.as_secs_f64() * 1e3,
        batch_ms: fastest.as_secs_f64() * 1e3,
        peak: loaded.most - idle.now,
        own: first.own - idle.own,
        second: second.own - first.own,
        output,
    })
}

fn memory() -> Result<Memory, Failure> {
    Ok(memory::of_process(std::process::id()).ok_or("this system does not report the memory of a process")?)
}

fn once(model: &mut dyn Model) -> Result<Vec<f32>, Failure> {
    let values: Vec<f32> = (0..ROWS * WIDTH).map(|place| (place % 97) as f32 / 97.0 - 0.5).collect();
    let input = Tensor::new(vec![ROWS, WIDTH], &values).ok_or("the batch has another size")?;
    let outputs = model.run(&mut [input])?;
    let output = outputs.first().and_then(Tensor::elements::<f32>).ok_or("the model gives no f32")?;
    Ok(output.to_vec())
}
