//! Reads `models/<name>/<version>/model.toml`: the model's backend, file, origin and signature. It reports all errors
//! at once, each with what would be right.

use std::path::Path;

use serde::Deserialize;

use crate::infer::digest::FileDigest;
use crate::infer::extents::Extents;
use crate::infer::file_name::is_plain_name;
use crate::infer::load_model::{Device, GpuProvider, LoadModel};
use crate::infer::signature::{Dim, Extent, Signature, StateSpec, TensorSpec, in_one_line};
use crate::infer::weights::{Weights, WeightsTable};
use crate::tensor::DType;

/// The largest row of a tensor in bytes, if each named extent is 1: 4 GiB. The state store allocates rows of zeros and
/// the backends multiply extents, so a mistaken extent must not reach them.
pub const MAX_ROW_BYTES: usize = 1 << 32;

/// A model's `model.toml`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The name of the backend that runs it: `libtorch`, `builtin`.
    pub backend: String,
    /// The file with its code, and its weights unless `weights` names them, beside `model.toml`; `model.pt` by default for libtorch,
    /// `None` for a built-in model.
    pub file: Option<String>,
    /// The digest of the file. A backend checks it before it loads the file.
    pub sha256: Option<FileDigest>,
    /// The weights that are apart from the file.
    pub weights: Option<Weights>,
    /// Its purpose, for humans.
    pub description: String,
    /// Its licence, as an SPDX expression.
    pub licence: String,
    /// Its origin, for humans.
    pub origin: String,
    /// Its tensors.
    pub signature: Signature,
}

/// The description of a model that its file tells by itself, without a `model.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The name of the backend that runs it.
    pub backend: &'static str,
    /// Its tensors.
    pub signature: Signature,
}

impl Description {
    /// The text of a `model.toml` for the file with this name and digest.
    pub fn to_toml(&self, file: &str, sha256: FileDigest) -> String {
        let mut text = format!(
            "backend = {}\nfile = {}\nsha256 = \"{sha256}\"\ndescription = \"\"\nlicence = \"\"\norigin = \"\"\n",
            quoted(self.backend),
            quoted(file)
        );
        if let Some(most) = self.signature.max_batch {
            text += &format!("max_batch = {most}\n");
        }
        for (table, specs) in [("inputs", &self.signature.inputs), ("outputs", &self.signature.outputs)] {
            for spec in specs {
                let dims = spec.shape.iter().map(|dim| match dim {
                    Dim::Fixed(extent) => extent.to_string(),
                    Dim::Named(name) => quoted(name),
                });
                text += &format!(
                    "\n[[{table}]]\nname = {}\ndtype = {}\nshape = [{}]\n",
                    quoted(&spec.name),
                    quoted(spec.dtype.as_str()),
                    dims.collect::<Vec<_>>().join(", ")
                );
            }
        }
        text
    }
}

/// A basic string of TOML, whose escapes include all of JSON's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestFile {
    backend: String,
    file: Option<String>,
    sha256: Option<String>,
    weights: Option<WeightsTable>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    licence: String,
    #[serde(default)]
    origin: String,
    max_batch: Option<usize>,
    #[serde(default)]
    inputs: Vec<TensorSpec>,
    #[serde(default)]
    outputs: Vec<TensorSpec>,
    #[serde(default)]
    state: Vec<StateSpec>,
}

impl Manifest {
    /// Reads and checks the text of a `model.toml`.
    ///
    /// # Errors
    /// All errors of the file. A text that is not TOML, or has unknown or ill-typed keys, gives one error, with its
    /// line.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let file: ManifestFile =
            toml::from_str(text).map_err(|error| vec![error.to_string().trim_end().to_owned()])?;
        let mut errors = Vec::new();
        if file.backend.is_empty() {
            errors.push("backend is empty; it names the runtime, as in backend = \"libtorch\"".to_owned());
        }
        if let Some(name) = file.file.as_deref().filter(|name| !is_plain_name(name)) {
            errors.push(format!(
                "file = {name:?} must be the name of a file beside model.toml, as in \"model.pt\""
            ));
        }
        let sha256 = file.sha256.as_deref().and_then(|text| {
            let read = text.parse::<FileDigest>();
            read.map_err(|why| errors.push(format!("sha256 = {text:?} is no digest: {why}"))).ok()
        });
        if file.sha256.is_some() && file.file.is_none() {
            errors.push(
                "sha256 is the digest of a file, but there is none; write file = \"…\" as well, or remove sha256".to_owned(),
            );
        }
        let weights = file.weights.map(|weights| weights.check(&file.backend, &mut errors));
        let signature = Signature {
            inputs: file.inputs,
            outputs: file.outputs,
            state: file.state,
            max_batch: file.max_batch,
        };
        errors.extend(errors_of(&signature));
        if !errors.is_empty() {
            return Err(errors);
        }
        let default = (file.backend == "libtorch").then(|| "model.pt".to_owned());
        Ok(Self {
            backend: file.backend,
            file: file.file.or(default),
            sha256,
            weights,
            description: file.description,
            licence: file.licence,
            origin: file.origin,
            signature,
        })
    }

    /// The model of a version's folder, to be loaded on the CPU with one thread, without warm-up and without known extents. The
    /// folder stands for the file of a built-in model.
    pub fn model(&self, folder: &Path, name: &str, version: &str) -> LoadModel {
        LoadModel {
            name: name.to_owned(),
            version: version.to_owned(),
            file: self.file.as_ref().map_or_else(|| folder.to_owned(), |file| folder.join(file)),
            sha256: self.sha256,
            weights: self.weights.clone(),
            signature: self.signature.clone(),
            device: Device::Cpu,
            provider: GpuProvider::default(),
            threads: 1,
            warm_up: Vec::new(),
            optimize: Default::default(),
            extents: Extents::default(),
        }
    }
}

impl Description {
    /// The description, if a model can be used with it alone.
    ///
    /// # Errors
    /// All errors of the signature, and the way to correct them.
    pub fn usable_alone(self, file: &Path) -> Result<Self, String> {
        match errors_of(&self.signature) {
            errors if errors.is_empty() => Ok(self),
            errors => Err(format!(
                "{} cannot be used without a model.toml: {}; write one with `lockstep models init`, and correct it",
                file.display(),
                errors.join("; ")
            )),
        }
    }
}

/// All errors within a signature.
pub fn errors_of(signature: &Signature) -> Vec<String> {
    let mut errors = Vec::new();
    if signature.max_batch == Some(0) {
        errors.push("max_batch is 0; it must be at least 1, or be left out for no limit".to_owned());
    }
    for (kind, specs) in [("input", &signature.inputs), ("output", &signature.outputs)] {
        if specs.is_empty() {
            errors.push(format!("there are no {kind}s; a model needs at least one [[{kind}s]]"));
        }
        for (place, spec) in specs.iter().enumerate() {
            if spec.name.is_empty() {
                errors.push(format!("{kind} number {} has an empty name", place + 1));
            }
            if specs.iter().take(place).any(|other| other.name == spec.name) {
                errors.push(format!("{kind} {} is named twice; names of {kind}s must differ", spec.name));
            }
            errors.extend(dims(kind, spec));
        }
    }
    for spec in &signature.inputs {
        if spec.batch_axis().is_none() {
            errors.push(format!(
                "input {} is {spec}, without the batch axis; write \"batch\" in its place",
                spec.name
            ));
        }
        if spec.rows.is_some() {
            errors.push(format!("input {} has rows, which only a ragged output can have", spec.name));
        }
    }
    for (place, spec) in signature.outputs.iter().enumerate() {
        errors.extend(rows(signature, place, spec));
    }
    for (place, state) in signature.state.iter().enumerate() {
        errors.extend(carried(signature, place, state));
    }
    errors.iter().map(|error| in_one_line(error)).collect()
}

fn dims(kind: &str, spec: &TensorSpec) -> Vec<String> {
    let mut errors = Vec::new();
    let mut wrong = |what: String| errors.push(format!("{kind} {}: {what}", spec.name));
    for dim in &spec.shape {
        match dim.extent() {
            Extent::Named { name, .. } if !is_name(name) => wrong(format!(
                "the extent {:?} is none; write a number, \"batch\", a name, or a multiple as \"512*n\"",
                dim.to_string()
            )),
            Extent::Named { name: "batch", .. } => {
                wrong(format!(
                    "the extent {:?} is a multiple of the batch, which cannot be",
                    dim.to_string()
                ));
            }
            Extent::Exactly(0) => wrong("the extent 0 leaves no elements".to_owned()),
            _ => {}
        }
    }
    let batch_axes = spec.shape.iter().filter(|dim| dim.extent() == Extent::Batch).count();
    if batch_axes > 1 {
        wrong(format!("{spec} has {batch_axes} batch axes; there can be one"));
    }
    // Bounds what a corrupt file makes of memory: torch itself stops at 64.
    if spec.shape.len() > 16 {
        wrong(format!("{} axes are too many; 16 are the most", spec.shape.len()));
    }
    let bytes = spec.shape.iter().try_fold(spec.dtype.size(), |bytes, dim| match dim.extent() {
        Extent::Batch => Some(bytes),
        Extent::Exactly(extent) => bytes.checked_mul(extent),
        Extent::Named { multiple, .. } => bytes.checked_mul(multiple),
    });
    if bytes.is_none_or(|bytes| bytes > MAX_ROW_BYTES) {
        wrong(format!("a row of {spec} takes more than 4 GiB; write smaller extents"));
    }
    errors
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn rows(signature: &Signature, place: usize, spec: &TensorSpec) -> Option<String> {
    let name = &spec.name;
    let Some(index) = &spec.rows else {
        return signature.rows_of(place).is_none().then(|| {
            format!(
                "output {name} is {spec}, without the batch axis; write \"batch\" in its place, or, when its \
                 first axis counts things found, rows = \"…\" with the output that says whose they are"
            )
        });
    };
    if spec.batch_axis().is_some() {
        return Some(format!("output {name} has both a batch axis and rows; it is batched or ragged"));
    }
    let Some(of) = signature.outputs.iter().find(|other| other.name == *index) else {
        return Some(format!("output {name}: rows = {index:?} is none of the outputs"));
    };
    let first = spec.shape.first();
    if of.dtype != DType::I64 || of.shape.len() != 1 || of.rows.is_some() || of.batch_axis().is_some() {
        return Some(format!("output {name}: rows = {index:?} is {of}; it must be i64 with one named axis"));
    }
    let named = matches!(first.map(Dim::extent), Some(Extent::Named { multiple: 1, .. }));
    if !named || first != of.shape.first() {
        return Some(format!(
            "output {name} is {spec}, and its rows {index} are {of}; their first axes must have the same name"
        ));
    }
    None
}

fn carried(signature: &Signature, place: usize, state: &StateSpec) -> Vec<String> {
    let mut errors = Vec::new();
    let before = signature.state.get(..place).unwrap_or_default();
    if before.iter().any(|other| other.input == state.input || other.output == state.output) {
        errors.push(format!("state {} -> {} is carried twice", state.output, state.input));
    }
    let input = signature.inputs.iter().find(|spec| spec.name == state.input);
    let output = signature.outputs.iter().find(|spec| spec.name == state.output);
    if input.is_none() {
        errors.push(format!("state: input = {:?} is none of the inputs", state.input));
    }
    if output.is_none() {
        errors.push(format!("state: output = {:?} is none of the outputs", state.output));
    }
    if let (Some(input), Some(output)) = (input, output) {
        if (input.dtype, &input.shape) != (output.dtype, &output.shape) {
            errors.push(format!(
                "state: output {} is {output} and input {} is {input}; they must be the same",
                output.name, input.name
            ));
        }
        if input.shape.iter().any(|dim| matches!(dim.extent(), Extent::Named { .. })) {
            errors.push(format!(
                "state: input {} is {input}; beside the batch axis its extents must be numbers, since it \
                 begins as zeros",
                input.name
            ));
        }
    }
    errors
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
