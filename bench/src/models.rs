//! `lockstep bench models`: the memory of a process that loads and drops models again and again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockstep_assemble::{Failure, backends_for};
use lockstep_backend::{Backend, zeros};
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::load_model::{Device, LoadModel};
use lockstep_engine::infer::manifest::Manifest;
use lockstep_engine::infer::signature::Extent;
use lockstep_engine::tensor::DType;

use super::memory;
use super::pipelines::Folder;
use super::report::{Case, Goal, Report};
use super::shards;

/// The shipped models: at least one for each runtime.
const MODELS: [&str; 4] = ["faces", "voice", "voice-onnx", "voice-pt2"];
/// After these cycles the caches of the runtime and the allocator are full.
const FIRST: usize = 10;
/// The rows of a batch.
const ROWS: usize = 4;
/// The value of each extent that has a name.
const NAMED: usize = 64;
const MIB: f64 = 1_048_576.0;
/// The most by which memory may grow between the two.
const GROWTH: f64 = 1.05;

const ABOUT: &str = "\
Each cycle starts a thread that loads a model, runs one batch of 4 rows of zeros, drops the model, and ends, as an instance
does. `cut file`: the file ends after half of its bytes. `wrong signature`: model.toml says i64 for an output of f32. Both loads
must fail. `ours` is the memory of the process that is in RAM after the last cycle, `theirs` that after the first
10, of the same process.";

/// The end of a load.
#[derive(Clone, Copy)]
enum LoadOutcome {
    Runs,
    CutFile,
    WrongSignature,
}

impl LoadOutcome {
    const ALL: [Self; 3] = [Self::Runs, Self::CutFile, Self::WrongSignature];

    fn words(self) -> &'static str {
        match self {
            Self::Runs => "load, run, drop",
            Self::CutFile => "cut file",
            Self::WrongSignature => "wrong signature",
        }
    }
}

/// Measures every runtime and outcome on the models of a repository.
pub(super) fn run(repository: &Path, count: usize) -> Result<Report, Failure> {
    let folder = Folder::new()?;
    let backends = backends_for([Device::Cpu]);
    let mut cases = Vec::new();
    for name in MODELS {
        let (backend, model) = find(repository, name)?;
        let backend = backends.iter().find(|known| known.name() == backend);
        let backend = backend.ok_or_else(|| format!("{name}: no runtime runs it"))?;
        for outcome in LoadOutcome::ALL {
            let model = changed(&model, outcome, folder.path())?;
            let [first, last] = cycles(backend, &model, outcome, count)?;
            let case = format!("{name} ({}): {}", backend.name(), outcome.words());
            cases.push(Case::against(case, last / MIB, first / MIB, "MiB").goal(Goal::RatioAtMost(GROWTH)));
        }
    }
    cases.extend(shards::cases(repository)?);
    Ok(Report::new("models", format!("{ABOUT}\n{}", shards::ABOUT), cases))
}

/// The backend of a model and how to load it.
fn find(repository: &Path, name: &str) -> Result<(String, LoadModel), Failure> {
    let folder = repository.join(name).join("1");
    let manifest = folder.join("model.toml");
    let text = std::fs::read_to_string(&manifest).map_err(|error| {
        format!("{}: {error}; name the folder of the shipped models by --repository", manifest.display())
    })?;
    let manifest =
        Manifest::parse(&text).map_err(|errors| format!("{}: {}", manifest.display(), errors.join("; ")))?;
    let mut extents = Extents::default();
    for dim in manifest.signature.inputs.iter().flat_map(|spec| &spec.shape) {
        if let Extent::Named { name, .. } = dim.extent() {
            extents.set(name, NAMED);
        }
    }
    let model = LoadModel { warm_up: vec![1], extents, ..manifest.model(&folder, name, "1") };
    Ok((manifest.backend, model))
}

/// The model whose load ends so.
fn changed(model: &LoadModel, outcome: LoadOutcome, folder: &Path) -> Result<LoadModel, Failure> {
    let mut model = model.clone();
    match outcome {
        LoadOutcome::Runs => {}
        LoadOutcome::CutFile => {
            let whole = std::fs::read(&model.file)?;
            let name: PathBuf = model.file.file_name().unwrap_or_default().into();
            model.file = folder.join(name);
            std::fs::write(&model.file, whole.get(..whole.len() / 2).unwrap_or_default())?;
            // The digest would end the load before the runtime sees the file.
            model.sha256 = None;
        }
        LoadOutcome::WrongSignature => {
            for output in model.signature.outputs.iter_mut().take(1) {
                output.dtype = DType::I64;
            }
        }
    }
    Ok(model)
}

/// The memory after the first cycles and after all, in bytes.
fn cycles(
    backend: &Arc<dyn Backend>,
    model: &LoadModel,
    outcome: LoadOutcome,
    count: usize,
) -> Result<[f64; 2], Failure> {
    let mut course = String::new();
    let mut first = 0.0;
    for cycle in 1..=count {
        let ended = std::thread::scope(|scope| scope.spawn(|| once(&**backend, model, outcome)).join());
        ended.map_err(|_| format!("{}: a cycle panicked", model.name))??;
        if cycle % FIRST == 0 {
            let memory = resident()?;
            // Writing to a string cannot fail.
            let _ = write!(course, " {:.1}", memory / MIB);
            if cycle == FIRST {
                first = memory;
            }
        }
    }
    eprintln!("models: {}, {}: MiB after every {FIRST} cycles:{course}", model.name, outcome.words());
    Ok([first, resident()?])
}

/// One cycle, on the thread that is the model's.
fn once(backend: &dyn Backend, model: &LoadModel, outcome: LoadOutcome) -> Result<(), String> {
    let loaded = backend.load(model);
    let mut loaded = match (loaded, outcome) {
        (Ok(loaded), LoadOutcome::Runs) => loaded,
        (Err(error), LoadOutcome::Runs) => return Err(error.to_string()),
        (Ok(_), _) => return Err(format!("{}, {}: the load does not fail", model.name, outcome.words())),
        (Err(_), _) => return Ok(()),
    };
    let mut inputs = zeros(model, ROWS)?;
    loaded.run(&mut inputs).map(drop).map_err(|error| error.to_string())
}

fn resident() -> Result<f64, Failure> {
    let memory = memory::of_process(std::process::id());
    Ok(memory.ok_or("this system does not report the memory of a process")?.now)
}
