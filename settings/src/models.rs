//! The model repository: `<name>/<version>/model.toml` beside the model's file. A file that tells its signature by itself needs no
//! `model.toml`.

use std::path::{Path, PathBuf};

use lockstep_engine::infer::digest::FileDigest;
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::load_model::{Device, GpuProvider, LoadModel, Optimize};
use lockstep_engine::infer::manifest::{Description, Manifest};
use lockstep_engine::infer::signature::Signature;
use lockstep_engine::infer::unit::{ModelUnit, ResidencySpec};
use lockstep_engine::infer::weights::Weights;
use toml::de::DeValue;

use super::kinds::{shown, string};
use super::problem::{did_you_mean, listed};
use super::reader::Section;

/// Reads the description that a model's file tells by itself. Settings know no runtimes: the caller does.
///
/// # Errors
/// The fault of the file, or that it tells nothing.
pub type Describe<'a> = &'a dyn Fn(&Path) -> Result<Description, String>;

/// The ending of files that describe their tensors.
const DESCRIBING: &str = "onnx";

/// The folder of all models.
#[derive(Clone, Copy)]
pub(super) struct Repository<'a> {
    pub(super) folder: &'a Path,
    pub(super) describe: Describe<'a>,
}

/// A model of the repository.
#[derive(Clone, Debug)]
pub(super) struct RepositoryModel {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) backend: String,
    pub(super) file: PathBuf,
    pub(super) sha256: Option<FileDigest>,
    pub(super) weights: Option<Weights>,
    pub(super) signature: Signature,
}

/// The error of a reference to a model.
struct LookupError {
    /// The key of the step: `model` or `version`.
    key: &'static str,
    message: String,
}

impl RepositoryModel {
    /// The unit that runs this model.
    pub(super) fn unit(
        &self,
        device: Device,
        provider: GpuProvider,
        threads: usize,
        warm_up: Vec<usize>,
    ) -> ModelUnit {
        ModelUnit {
            model: LoadModel {
                name: self.name.clone(),
                version: self.version.clone(),
                file: self.file.clone(),
                sha256: self.sha256,
                weights: self.weights.clone(),
                signature: self.signature.clone(),
                device,
                provider,
                threads,
                warm_up,
                optimize: Optimize::default(),
                extents: Extents::default(),
            },
            backend: self.backend.clone(),
            residency: ResidencySpec::default(),
        }
    }
}

/// The model that a step, or its fallback, names with `model` and `version`.
pub(super) fn model(step: &Section<'_>, repository: Repository<'_>) -> Option<RepositoryModel> {
    let version = step.optional("version", |value| match value {
        DeValue::Integer(number) => Ok(number.to_string()),
        _ => plain(value).and_then(|version| match version.contains(':') {
            true => Err(format!("{} has a colon; name the version's folder without one", shown(value))),
            false => Ok(version),
        }),
    });
    let name = step.required("model", "model = \"…\" with the name of a folder of the repository", plain)?;
    find(repository, &name, version.as_deref()).map_err(|error| step.wrong(error.key, error.message)).ok()
}

/// The name of one folder. A path could leave the repository and load any file as a model.
fn plain(value: &DeValue<'_>) -> Result<String, String> {
    let name = string(value)?;
    if name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
        return Err(format!("{} is no folder's name; write the name of one folder", shown(value)));
    }
    Ok(name)
}

/// Finds a model and reads its manifest; without a version, the one with the highest number.
fn find(
    repository: Repository<'_>,
    name: &str,
    version: Option<&str>,
) -> Result<RepositoryModel, LookupError> {
    let error = |key, message| LookupError { key, message };
    let Repository { folder: repository, describe } = repository;
    let models = folders(repository).map_err(|io| {
        error(
            "model",
            format!(
                "cannot be looked up: the repository {} cannot be read ({io}); write its path as [models] repository",
                repository.display()
            ),
        )
    })?;
    if !models.iter().any(|model| model == name) {
        let hint = did_you_mean(name, models.iter().map(String::as_str));
        let there = listed(models.iter().map(String::as_str));
        return Err(error(
            "model",
            format!("{name:?} is not in {}{hint} (models there: {there})", repository.display()),
        ));
    }
    let model = repository.join(name);
    let versions: Vec<String> = folders(&model)
        .map_err(|io| error("model", format!("cannot be read: {}: {io}", model.display())))?
        .into_iter()
        .filter(|version| {
            let folder = model.join(version);
            folder.join("model.toml").is_file() || !all_describing(&folder).is_empty()
        })
        .collect();
    let there = || listed(versions.iter().map(String::as_str));
    let version = match version {
        Some(version) if versions.iter().any(|there| there == version) => version.to_owned(),
        Some(version) => {
            return Err(error(
                "version",
                format!(
                    "{version:?} has no {name}/{version}/model.toml and no .onnx file; write one of the versions there: {}",
                    there()
                ),
            ));
        }
        None => versions
            .iter()
            .filter_map(|version| version.parse::<u64>().ok().map(|number| (number, version)))
            .max()
            .map(|(_, version)| version.clone())
            .ok_or_else(|| {
                error(
                    "model",
                    format!(
                        "{name} has no version that is a number with a model.toml or an .onnx file in {}; write \
                         version = \"…\" (versions there: {})",
                        model.display(),
                        there()
                    ),
                )
            })?,
    };
    let folder = model.join(&version);
    let files = if folder.join("model.toml").is_file() { Vec::new() } else { all_describing(&folder) };
    let read = match files.as_slice() {
        [] => read_manifest(&folder, name, &version),
        [file] => described(file.clone(), describe, name, &version),
        several => Err(format!(
            "{} has {} .{DESCRIBING} files and no model.toml, which would name one of them; leave one there, or write model.toml \
             with `lockstep models init`",
            folder.display(),
            several.len()
        )),
    };
    read.map_err(|message| error("model", message))
}

/// The only file of a folder that describes its tensors; none if there are several.
pub fn describing(folder: &Path) -> Option<PathBuf> {
    match all_describing(folder).as_mut_slice() {
        [only] => Some(std::mem::take(only)),
        _ => None,
    }
}

/// The files of a folder that describe their tensors; none if the folder cannot be read.
fn all_describing(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    files.filter(|file| file.extension().is_some_and(|ending| ending == DESCRIBING)).collect()
}

fn described(
    file: PathBuf,
    describe: Describe<'_>,
    name: &str,
    version: &str,
) -> Result<RepositoryModel, String> {
    let Description { backend, signature } = describe(&file)?.usable_alone(&file)?;
    let (name, version, backend) = (name.to_owned(), version.to_owned(), backend.to_owned());
    Ok(RepositoryModel { name, version, backend, file, sha256: None, weights: None, signature })
}

fn read_manifest(folder: &Path, name: &str, version: &str) -> Result<RepositoryModel, String> {
    let path = folder.join("model.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let manifest = Manifest::parse(&text)
        .map_err(|errors| format!("mistakes in {}: {}", path.display(), errors.join("; ")))?;
    let file = match manifest.file {
        Some(file) => folder.join(file),
        // A builtin model has no file; messages name its folder instead.
        None => folder.to_owned(),
    };
    if !file.exists() {
        return Err(format!(
            "{} does not exist, which {} names as the model's file",
            file.display(),
            path.display()
        ));
    }
    if let Some(weights) = manifest.weights.as_ref().map(|weights| folder.join(&weights.file))
        && !weights.exists()
    {
        return Err(format!(
            "{} does not exist, which {} names as the model's weights; put it there (for models of Lockstep itself: make setup-scene)",
            weights.display(),
            path.display()
        ));
    }
    Ok(RepositoryModel {
        name: name.to_owned(),
        version: version.to_owned(),
        backend: manifest.backend,
        file,
        sha256: manifest.sha256,
        weights: manifest.weights,
        signature: manifest.signature,
    })
}

/// The names of the folders in a folder, sorted, hidden ones left out.
fn folders(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_dir() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
