//! `lockstep models`: describes, checks and measures single models, without a pipeline.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Subcommand;
use lockstep_backend::{Model, digest_of, zeros};
use lockstep_bench::bare::baseline::{BaselineLoop, Until};
use lockstep_bench::bare::onnx;
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::load_model::{Device, GpuProvider, LoadModel, Optimize};
use lockstep_engine::infer::manifest::{Manifest, errors_of};
use lockstep_engine::infer::signature::{Extent, Signature, in_one_line};
use lockstep_engine::tensor::Tensor;
use lockstep_settings::describing;

use super::Failure;
use crate::output::print_line;

const MANIFEST: &str = "model.toml";

const DETAILS: &str = "\
A MODEL is the file of a model, or the folder of a version that holds it and its model.toml. A file without a model.toml works if it
describes its tensors, as ONNX does. So does a folder without a model.toml if exactly one such file is in it.

  lockstep models init models/mine/1/model.onnx
  lockstep models check models/mine/1
  lockstep models bench models/voice/1 --extent n=16 --batch 1,4,8";

#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Write a model.toml beside a file that describes its tensors
    Init {
        /// The model's file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace a model.toml that is there
        #[arg(long)]
        force: bool,
    },
    /// Load a model, and run it on zeros in batches of one and two rows
    Check(ModelChoice),
    /// Measure the latency and the rows per second by batch size, beside a bare loop of the runtime
    Bench {
        #[command(flatten)]
        chosen: ModelChoice,
        /// Sizes of batches, from 1 to 4096
        #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,2,4,8", value_parser = batch_size)]
        batch: Vec<usize>,
        /// The time to measure each size, in whole seconds; the bare runtime takes as long again
        #[arg(long, value_name = "N", default_value_t = 2, value_parser = whole_seconds)]
        seconds: u64,
    },
}

/// A model and how to run it.
#[derive(clap::Args)]
struct ModelChoice {
    /// The model's file, or the folder of its version
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The value of a named extent; once for each name
    #[arg(long, value_name = "NAME=N", value_parser = extent)]
    extent: Vec<(String, usize)>,
    /// Threads inside one operation
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// The form in which libtorch runs a TorchScript model
    #[arg(long, value_name = "FORM", value_parser = ["none", "frozen", "fused", "channels-last"], default_value = "none")]
    optimize: String,
}

fn extent(text: &str) -> Result<(String, usize), String> {
    let named = text.split_once('=').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
    named.filter(|(_, value)| *value > 0).ok_or_else(|| "write NAME=N, as n=16, with N from 1".to_owned())
}

fn batch_size(text: &str) -> Result<usize, String> {
    let size = text.parse().ok().filter(|size| (1..=4096).contains(size));
    size.ok_or_else(|| "write numbers of rows from 1 to 4096, as 1,8".to_owned())
}

fn whole_seconds(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=600).contains(seconds));
    seconds.ok_or_else(|| "write whole seconds from 1 to 600".to_owned())
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.action {
        Action::Init { file, force } => init(&file, force)?,
        Action::Check(chosen) => check(&chosen)?,
        Action::Bench { chosen, batch, seconds } => bench(&chosen, &batch, Duration::from_secs(seconds))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn init(file: &Path, force: bool) -> Result<(), Failure> {
    let description = lockstep_assemble::describe(file)?;
    let name = file.file_name().and_then(|name| name.to_str()).ok_or("the file's name is not UTF-8")?;
    let sha256 = digest_of(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let target = file.with_file_name(MANIFEST);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(!force).create(force).truncate(force);
    let written = options.open(&target).and_then(|mut out| {
        std::io::Write::write_all(&mut out, description.to_toml(name, sha256).as_bytes())
    });
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => format!("{} is there already; --force replaces it", target.display()),
        _ => format!("{}: {error}", target.display()),
    })?;
    print_line(format_args!("{}: {}", target.display(), tensors(&description.signature)))?;
    for error in errors_of(&description.signature) {
        print_line(format_args!("correct this: {error}"))?;
    }
    Ok(())
}

/// A model that was found: how to load it, and by which backend.
struct Found {
    backend: String,
    model: LoadModel,
}

impl Found {
    fn new(chosen: &ModelChoice) -> Result<Self, Failure> {
        let path = &chosen.model;
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        let manifest = folder.join(MANIFEST);
        let (backend, file, sha256, weights, signature) = match std::fs::read_to_string(&manifest) {
            Ok(text) => {
                let manifest = Manifest::parse(&text)
                    .map_err(|errors| format!("{}: {}", manifest.display(), errors.join("; ")))?;
                let file = manifest.file.map_or_else(|| folder.to_owned(), |file| folder.join(file));
                (manifest.backend, file, manifest.sha256, manifest.weights, manifest.signature)
            }
            Err(error) if error.kind() == ErrorKind::NotFound && path.exists() => {
                let file = if path.is_dir() { only_model(path)? } else { path.clone() };
                let told = lockstep_assemble::describe(&file)?.usable_alone(&file)?;
                (told.backend.to_owned(), file, None, None, told.signature)
            }
            Err(error) => return Err(format!("{}: {error}", manifest.display()).into()),
        };
        let mut extents = Extents::default();
        for (name, value) in &chosen.extent {
            if !names(&signature).any(|known| known == name) {
                let known: Vec<&str> = names(&signature).collect();
                return Err(format!(
                    "--extent: {name} is no name of the model; its names are {}",
                    known.join(", ")
                )
                .into());
            }
            extents.set(name, *value);
        }
        if let Some(missing) = names(&signature).find(|name| !extents.named().contains_key(*name)) {
            return Err(format!("the extent {missing} must be known; write --extent {missing}=N").into());
        }
        // As in a repository: the version's folder, in the model's.
        let name = |folder: Option<&Path>| {
            folder
                .and_then(Path::file_name)
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        };
        let form = Optimize::WORDS.into_iter().find(|(word, _)| *word == chosen.optimize);
        let optimize = form.map_or(Optimize::None, |(_, form)| form);
        if optimize != Optimize::None && backend != "libtorch" {
            return Err(format!(
                "--optimize is for TorchScript models, and {backend} runs this one; remove it"
            )
            .into());
        }
        let model = LoadModel {
            name: name(folder.parent()),
            version: name(Some(folder)),
            file,
            sha256,
            weights,
            signature,
            device: Device::Cpu,
            provider: GpuProvider::default(),
            threads: usize::from(chosen.threads),
            optimize,
            warm_up: vec![1],
            extents,
        };
        Ok(Self { backend, model })
    }

    fn load(&self, warm_up: &[usize]) -> Result<Box<dyn Model>, Failure> {
        let most = self.model.signature.max_batch.unwrap_or(usize::MAX);
        let warm_up = warm_up.iter().copied().filter(|rows| *rows <= most).collect();
        let backends = lockstep_assemble::backends_for([Device::Cpu]);
        let Some(backend) = backends.iter().find(|backend| backend.name() == self.backend) else {
            let names: Vec<&str> = backends.iter().map(|backend| backend.name()).collect();
            return Err(format!(
                "backend = {:?} is unknown; write one of {}",
                self.backend,
                names.join(", ")
            )
            .into());
        };
        Ok(backend.load(&LoadModel { warm_up, ..self.model.clone() })?)
    }
}

/// The only file in a folder that describes its tensors, as a pipeline finds it.
fn only_model(folder: &Path) -> Result<PathBuf, Failure> {
    describing(folder).ok_or_else(|| {
        let folder = folder.display();
        format!(
            "{folder}: has no model.toml, and not exactly one .onnx file, which would describe its tensors; write {folder}/{MANIFEST}, \
             or name the model's file"
        )
        .into()
    })
}

/// The names of the inputs' extents, beside the batch axis.
fn names(signature: &Signature) -> impl Iterator<Item = &str> {
    let dims = signature.inputs.iter().flat_map(|spec| &spec.shape);
    dims.filter_map(|dim| match dim.extent() {
        Extent::Named { name, .. } => Some(name),
        Extent::Batch | Extent::Exactly(_) => None,
    })
}

fn check(chosen: &ModelChoice) -> Result<(), Failure> {
    let found = Found::new(chosen)?;
    let loaded = found.load(&[1, 2])?;
    let (backend, device) = (&found.backend, loaded.device());
    print_line(format_args!("ok: {} on {device}: {}", backend, tensors(&found.model.signature)))?;
    Ok(())
}

/// The tensors of a model in one line.
fn tensors(signature: &Signature) -> String {
    let of = |specs: &[lockstep_engine::infer::signature::TensorSpec]| {
        specs.iter().map(|spec| format!("{} {spec}", spec.name)).collect::<Vec<_>>().join(", ")
    };
    in_one_line(&format!("{} -> {}", of(&signature.inputs), of(&signature.outputs)))
}

/// The measurements of one batch size.
struct BatchTimes {
    median: Duration,
    rows_per_second: f64,
}

#[allow(clippy::disallowed_methods, reason = "it measures: it reads the clock itself")]
fn bench(chosen: &ModelChoice, sizes: &[usize], span: Duration) -> Result<(), Failure> {
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures mean nothing; use cargo build --release");
    }
    let found = Found::new(chosen)?;
    let mut text = format!("{} by {}\n\n", chosen.model.display(), found.backend);
    text += "batch   median ms   rows per second   of the bare runtime\n";
    for rows in sizes {
        if *rows == 0 || found.model.signature.max_batch.is_some_and(|most| *rows > most) {
            return Err(format!("--batch {rows}: the model takes batches from 1 to its max_batch").into());
        }
        let mut model = found.load(&[*rows])?;
        let batch = zeros(&found.model, *rows)?;
        let mut inputs = batch.clone();
        let measured = measure(*rows, span, || {
            model.run(&mut inputs)?;
            // A model may take the memory of an input. A copy for each run would count as time of the model.
            for (input, whole) in
                inputs.iter_mut().zip(&batch).filter(|(input, whole)| input.shape() != whole.shape())
            {
                input.clone_from(whole);
            }
            Ok(())
        })?;
        let bare = bare(&found, &batch, *rows, span)?;
        let ratio =
            bare.map_or("      -".to_owned(), |bare| format!("{:7.2}", measured.rows_per_second / bare));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{rows:5} {:11.3} {:17.1} {ratio:>20}",
            measured.median.as_secs_f64() * 1e3,
            measured.rows_per_second
        );
    }
    print_line(text.trim_end())?;
    Ok(())
}

/// The rows per second of the runtime alone; none where there is no bare loop for it.
fn bare(found: &Found, batch: &[Tensor], rows: usize, span: Duration) -> Result<Option<f64>, Failure> {
    let model = &found.model;
    let batches = match found.backend.as_str() {
        // A skeleton alone would run on zeros.
        "libtorch" if model.weights.is_none() => {
            let (file, device, threads) = (model.file.clone(), model.device, model.threads);
            let until = Until::Elapsed(span);
            let bare =
                BaselineLoop { file, device, threads, warm_up: 3, until, ahead: false }.run_on_cpu(batch)?;
            bare.batches as f64 / bare.seconds
        }
        "onnxruntime" => onnx::batches_per_second(model, batch, span)?,
        _ => return Ok(None),
    };
    Ok(Some(batches * rows as f64))
}

#[allow(clippy::disallowed_methods, reason = "it measures: it reads the clock itself")]
fn measure(
    rows: usize,
    span: Duration,
    mut call: impl FnMut() -> Result<(), Failure>,
) -> Result<BatchTimes, Failure> {
    for _ in 0..3 {
        call()?;
    }
    let (mut took, begin) = (Vec::new(), Instant::now());
    while begin.elapsed() < span || took.is_empty() {
        let from = Instant::now();
        call()?;
        took.push(from.elapsed());
    }
    let rows_per_second = (took.len() * rows) as f64 / begin.elapsed().as_secs_f64();
    took.sort_unstable();
    Ok(BatchTimes { median: took.get(took.len() / 2).copied().unwrap_or_default(), rows_per_second })
}

#[cfg(test)]
#[path = "models_tests.rs"]
mod tests;
