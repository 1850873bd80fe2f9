//! The memory and the time of a load: weights in shards against a whole file.

mod onnx_file;
pub(super) mod probe;
mod synthetic;

use std::path::Path;
use std::process::Command;

use lockstep_assemble::Failure;

use self::probe::LoadCost;
use self::synthetic::WIDTH;
use super::pipelines::Folder;
use super::report::{Case, Goal};

const MIB: f64 = 1_048_576.0;
/// Relative to outputs of about 1.
const TOLERANCE: f32 = 1e-4;

/// The meaning of the figures.
pub(super) const ABOUT: &str = "\
`200 MB`: a model of 12 linear layers, loaded in a process of its own. `ours` has its weights in four shards of 50 MB, `theirs` in one file with
its code. `peak`: the memory in RAM at the worst moment of the load, above that of the process with a small model of that runtime.
`own`: the memory that is no page of a file, after 40 batches of 4 rows. `second`: what a second instance adds to it. `batch`: the fastest of the
40. `prepacked`: `prepack = true`.";

/// A form of the model.
struct ModelForm {
    backend: &'static str,
    file: &'static str,
    /// The line of `model.toml` that names its weights.
    weights: &'static str,
}

const WHOLE: &str = "";
const SHARDED: &str = "weights = { file = \"model.safetensors.index.json\" }";
const PREPACKED: &str = "weights = { file = \"model.safetensors.index.json\", prepack = true }";

impl ModelForm {
    const fn new(backend: &'static str, file: &'static str, weights: &'static str) -> Self {
        Self { backend, file, weights }
    }

    /// Loads it in a process of its own. `idle` is a small model of the same runtime.
    fn cost(&self, folder: &Path, idle: &Path) -> Result<LoadCost, Failure> {
        let Self { backend, file, weights } = self;
        let manifest = folder.join("model.toml");
        let tensor = |kind, name| {
            format!("[[{kind}]]\nname = \"{name}\"\ndtype = \"f32\"\nshape = [\"batch\", {WIDTH}]\n")
        };
        let text = format!(
            "backend = \"{backend}\"\nfile = \"{file}\"\n{weights}\n{}{}",
            tensor("inputs", "x"),
            tensor("outputs", "y")
        );
        std::fs::write(&manifest, text)?;
        let mut probe = Command::new(std::env::current_exe()?);
        probe.args(["bench", "load-probe", "--manifest"]).arg(&manifest).arg("--idle").arg(idle);
        let output = probe.output()?;
        if !output.status.success() {
            return Err(
                format!("{backend}, {file}: {}", String::from_utf8_lossy(&output.stderr).trim()).into()
            );
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// The cases, with small models out of `repository`.
pub(super) fn cases(repository: &Path) -> Result<Vec<Case>, Failure> {
    let folder = Folder::new()?;
    let largest = synthetic::write(folder.path())? / MIB;
    let forms = [
        (
            "voice",
            ModelForm::new("libtorch", "whole.pt", WHOLE),
            vec![("", ModelForm::new("libtorch", "skeleton.pt", SHARDED))],
        ),
        (
            "voice-onnx",
            ModelForm::new("onnxruntime", "whole.onnx", WHOLE),
            vec![
                ("", ModelForm::new("onnxruntime", "sharded.onnx", SHARDED)),
                (", prepacked", ModelForm::new("onnxruntime", "sharded.onnx", PREPACKED)),
            ],
        ),
    ];
    let (mut cases, mut output) = (Vec::new(), None::<Vec<f32>>);
    for (small, whole, sharded) in forms {
        let idle = repository.join(small).join("1").join("model.toml");
        let theirs = whole.cost(folder.path(), &idle)?;
        for (words, form) in sharded {
            let ours = form.cost(folder.path(), &idle)?;
            for found in [&theirs, &ours] {
                agree(output.get_or_insert_with(|| found.output.clone()), &found.output)?;
            }
            let name = |what: &str| format!("200 MB ({}{words}): {what}", form.backend);
            let case = |what: &str, ours: f64, theirs: f64| {
                Case::against(name(what), ours / MIB, theirs / MIB, "MiB")
            };
            let peak = case("peak", ours.peak, theirs.peak);
            // Prepacking is a copy of all weights.
            cases.push(if words.is_empty() { peak.goal(Goal::AtMost(largest.ceil())) } else { peak });
            cases.push(case("own", ours.own, theirs.own));
            cases.push(case("second", ours.second, theirs.second));
            cases.push(Case::against(name("load"), ours.load_ms, theirs.load_ms, "ms"));
            cases.push(Case::against(name("batch"), ours.batch_ms, theirs.batch_ms, "ms"));
        }
    }
    Ok(cases)
}

/// Checks that two forms give the same.
fn agree(one: &[f32], other: &[f32]) -> Result<(), Failure> {
    let near = |(one, other): (&f32, &f32)| (one - other).abs() <= TOLERANCE * one.abs().max(1.0);
    if one.is_empty() || one.len() != other.len() || !one.iter().zip(other).all(near) {
        return Err(format!("two forms of one model give {one:?} and {other:?}").into());
    }
    Ok(())
}
