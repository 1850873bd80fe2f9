//! The model repository: `<name>/<version>/model.toml` beside the model's file.

use std::path::{Path, PathBuf};

use lockstep_engine::infer::manifest::Manifest;
use lockstep_engine::infer::signature::Signature;

use super::problem::{did_you_mean, listed};

/// A model as it lies in the repository.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) backend: String,
    pub(super) file: PathBuf,
    pub(super) signature: Signature,
}

/// Which of the two words of a reference is wrong, and how.
pub(super) struct Lost {
    /// The key of the step: `model` or `version`.
    pub(super) key: &'static str,
    pub(super) message: String,
}

/// Finds a model and reads its manifest; without a version, the one with the highest number.
pub(super) fn find(repository: &Path, name: &str, version: Option<&str>) -> Result<Found, Lost> {
    let lost = |key, message| Lost { key, message };
    let models = folders(repository).map_err(|error| {
        lost(
            "model",
            format!(
                "cannot be looked up: the repository {} cannot be read ({error}); see [models] repository",
                repository.display()
            ),
        )
    })?;
    if !models.iter().any(|model| model == name) {
        let hint = did_you_mean(name, models.iter().map(String::as_str));
        let there = listed(models.iter().map(String::as_str));
        return Err(lost(
            "model",
            format!("is {name:?}, which is not in {}{hint} (models there: {there})", repository.display()),
        ));
    }
    let model = repository.join(name);
    let versions: Vec<String> = folders(&model)
        .map_err(|error| lost("model", format!("cannot be read: {}: {error}", model.display())))?
        .into_iter()
        .filter(|version| model.join(version).join("model.toml").is_file())
        .collect();
    let there = || listed(versions.iter().map(String::as_str));
    let version = match version {
        Some(version) if versions.iter().any(|there| there == version) => version.to_owned(),
        Some(version) => {
            return Err(lost(
                "version",
                format!(
                    "is {version:?}, of which there is no {name}/{version}/model.toml; versions there: {}",
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
                lost(
                    "model",
                    format!(
                        "{name} has no version that is a number with a model.toml in {}; write version = \
                         \"…\" (versions there: {})",
                        model.display(),
                        there()
                    ),
                )
            })?,
    };
    let folder = model.join(&version);
    read_manifest(&folder, name, &version).map_err(|message| lost("model", message))
}

fn read_manifest(folder: &Path, name: &str, version: &str) -> Result<Found, String> {
    let path = folder.join("model.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let manifest = Manifest::parse(&text)
        .map_err(|errors| format!("has mistakes in {}: {}", path.display(), errors.join("; ")))?;
    let default = (manifest.backend == "libtorch").then(|| "model.pt".to_owned());
    let file = match manifest.file.or(default) {
        Some(file) => folder.join(file),
        // What is built in has no file; its folder stands for it in messages.
        None => folder.to_owned(),
    };
    if !file.exists() {
        return Err(format!(
            "{} is not there, which {} names as the model's file",
            file.display(),
            path.display()
        ));
    }
    Ok(Found {
        name: name.to_owned(),
        version: version.to_owned(),
        backend: manifest.backend,
        file,
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
