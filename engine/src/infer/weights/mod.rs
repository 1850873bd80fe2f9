//! The weights of a model that lie apart from its code, in safetensors files: one file, or several *weight shards* with an
//! index.
//!
//! [`shard`] reads the header of one file, and [`index`] the list of all tensors. [`checkpoint`] puts both together and compares
//! them with the model. Each of them reports all faults, so that a user corrects them at once.

pub mod checkpoint;
pub mod index;
mod pairs;
pub mod shard;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::infer::digest::FileDigest;
use crate::infer::file_name::is_plain_name;

/// The ending of an index of weight shards.
const INDEX: &str = ".safetensors.index.json";
/// The ending of a file that holds all weights.
const WHOLE: &str = ".safetensors";
/// The backends that take weights apart from the code.
const BACKENDS: [&str; 2] = ["libtorch", "onnxruntime"];

/// The weights that `model.toml` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// The name of the index, or of the only file of weights, beside the model's file.
    pub file: String,
    /// The digests of that file and of all weight shards, by name; empty if `model.toml` names none.
    pub sha256: BTreeMap<String, FileDigest>,
    /// True if the runtime may keep a second copy of the weights in the order that its kernels prefer.
    pub prepack: bool,
}

impl Weights {
    /// Returns true if the file is an index of several weight shards.
    pub fn is_index(&self) -> bool {
        self.file.ends_with(INDEX)
    }
}

/// The table `weights` of a `model.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WeightsTable {
    file: String,
    #[serde(default)]
    sha256: BTreeMap<String, String>,
    prepack: Option<bool>,
}

impl WeightsTable {
    /// Checks the table, for a model of `backend`. Adds all errors to `errors`.
    pub(super) fn check(self, backend: &str, errors: &mut Vec<String>) -> Weights {
        let Self { file, sha256, prepack } = self;
        if !BACKENDS.contains(&backend) {
            errors.push(format!(
                "weights: backend = {backend:?} takes no weights apart from the model's file; remove [weights], or use one of {}",
                BACKENDS.join(", ")
            ));
        }
        if !is_plain_name(&file) || !(file.ends_with(INDEX) || file.ends_with(WHOLE)) {
            errors.push(format!(
                "weights.file = {file:?} must be the name of a file beside model.toml, as in \"model{INDEX}\" or \"model{WHOLE}\""
            ));
        }
        if prepack.is_some() && backend != "onnxruntime" {
            errors
                .push("weights.prepack is a choice of backend = \"onnxruntime\" alone; remove it".to_owned());
        }
        let digests = sha256.into_iter().filter_map(|(name, text)| match text.parse() {
            Ok(digest) => Some((name, digest)),
            Err(why) => {
                errors.push(format!("weights.sha256: {name:?} = {text:?} is no digest: {why}"));
                None
            }
        });
        let sha256: BTreeMap<String, FileDigest> = digests.collect();
        for name in sha256.keys().filter(|name| !is_plain_name(name)) {
            errors.push(format!("weights.sha256: {name:?} must be the name of a file beside model.toml"));
        }
        Weights { file, sha256, prepack: prepack.unwrap_or(false) }
    }
}
