//! The weights of a model that are apart from its file: their digests, their headers, and all faults of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::infer::weights::Weights;
use lockstep_engine::infer::weights::checkpoint::Checkpoint;
use lockstep_engine::infer::weights::index::{MAX_INDEX, WeightIndex};
use lockstep_engine::infer::weights::shard::{PREFIX, ShardHeader, header_length, read_header};

use crate::digest_cache::known_digest;
use crate::regular::open_regular;

/// The folder of a model's weights: that of its file.
pub fn weights_folder(model: &LoadModel) -> &Path {
    model.file.parent().unwrap_or(Path::new(""))
}

/// Reads the headers of a model's weights, after their digests; `None` if the model's file holds the weights. The data of the
/// tensors is left alone, except for the digests. The [`Checkpoint`] has the faults of single tensors and shards.
///
/// # Errors
/// A digest that differs, or an index that cannot be read.
pub fn read_weights(model: &LoadModel) -> Result<Option<Checkpoint>, String> {
    let Some(weights) = &model.weights else { return Ok(None) };
    let folder = weights_folder(model);
    let file = folder.join(&weights.file);
    verify(weights, &file, &BTreeSet::from([weights.file.as_str()]))?;
    if !weights.is_index() {
        let header = read_shard(&file);
        return Ok(Some(Checkpoint::join(None, BTreeMap::from([(weights.file.clone(), header)]))));
    }
    let wrong = |why: String| format!("{}: {why}", file.display());
    let json = read_index(&file).map_err(|error| wrong(error.to_string()))?;
    let index = WeightIndex::read(&json).map_err(|faults| wrong(faults.join("; ")))?;
    let mut names = index.shards();
    names.insert(&weights.file);
    verify(weights, &file, &names)?;
    let headers = index.shards().into_iter().map(|name| (name.to_owned(), read_shard(&folder.join(name))));
    Ok(Some(Checkpoint::join(Some(&index), headers.collect())))
}

/// The files of a model's weights: the shards, if there is an index that can be read, else the one file.
pub fn weight_files(model: &LoadModel) -> Vec<PathBuf> {
    let Some(weights) = &model.weights else { return Vec::new() };
    let (folder, file) = (weights_folder(model), weights_folder(model).join(&weights.file));
    if !weights.is_index() {
        return vec![file];
    }
    let index = read_index(&file).ok().and_then(|json| WeightIndex::read(&json).ok());
    index.map_or_else(Vec::new, |index| index.shards().into_iter().map(|name| folder.join(name)).collect())
}

/// Compares the digests of `names` with those of the model, if it names any. `file` is one of them, for messages and for the folder.
fn verify(weights: &Weights, file: &Path, names: &BTreeSet<&str>) -> Result<(), String> {
    if weights.sha256.is_empty() {
        return Ok(());
    }
    let faults: Vec<String> = names.iter().filter_map(|name| {
        let path = file.with_file_name(name);
        let shown = path.display();
        let Some(expected) = weights.sha256.get(*name) else {
            return Some(format!("{shown}: [weights.sha256] in its model.toml has no digest of it; add one"));
        };
        match known_digest(&path) {
            Ok(found) if found == *expected => None,
            Ok(found) => Some(format!(
                "{shown}: its SHA-256 digest is {found}, expected {expected}; fetch the file again, or, if this is the right one, \
                 write it into [weights.sha256] of its model.toml"
            )),
            Err(error) => Some(format!("{shown} cannot be read: {error}")),
        }
    }).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

/// The text of an index, whose length is checked before it is read.
fn read_index(file: &Path) -> io::Result<Vec<u8>> {
    let file = open_regular(file)?;
    if file.metadata()?.len() > MAX_INDEX {
        return Err(io::Error::other(format!(
            "it has more than {MAX_INDEX} bytes; it is no index of weights"
        )));
    }
    let mut text = Vec::new();
    file.take(MAX_INDEX).read_to_end(&mut text)?;
    Ok(text)
}

/// The header of a shard, whose length is checked before it is read.
fn read_shard(path: &Path) -> Result<ShardHeader, String> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "the file is missing".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    let mut file = open_regular(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut prefix = [0; PREFIX];
    file.read_exact(&mut prefix).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("has {length} bytes only; the file is cut, fetch it again"),
        _ => unreadable(error),
    })?;
    let header = header_length(prefix, length)?;
    let mut json = Vec::new();
    file.take(header).read_to_end(&mut json).map_err(unreadable)?;
    if json.len() as u64 != header {
        return Err("became shorter while it was read; fetch it again".to_owned());
    }
    read_header(&json, length)
}

#[cfg(test)]
#[path = "weights_tests.rs"]
mod tests;
