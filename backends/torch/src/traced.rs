//! Models traced in process: a benchmark or a test needs no model file. The weights are random constants of the traced
//! graph.

use std::path::{Path, PathBuf};

use lockstep_engine::infer::manifest::Manifest;
use tch::{CModule, Kind, TchError, Tensor};

/// The class of the module, which must be an identifier; the model's own name need not be one.
const CLASS: &str = "Traced";

/// A traced model: one f32 input `input`, one f32 output `output`, both batched on axis 0.
#[derive(Debug)]
pub struct Traced {
    name: String,
    module: CModule,
    manifest: String,
    row: Vec<usize>,
}

impl Traced {
    /// Traces `forward` over a batch of two rows of random numbers. Tensors that `forward` draws or creates itself
    /// would be drawn again in every run: create weights before.
    ///
    /// # Errors
    /// libtorch's message.
    pub fn new(
        name: &str,
        row: &[usize],
        forward: &dyn Fn(&Tensor) -> Result<Tensor, TchError>,
    ) -> Result<Self, String> {
        let traced = || -> Result<(CModule, Vec<i64>), TchError> {
            let size: Vec<i64> = [2].into_iter().chain(row.iter().map(|extent| *extent as i64)).collect();
            let example = Tensor::f_randn(&size, (Kind::Float, tch::Device::Cpu))?;
            let mut failed = None;
            let mut gave = Vec::new();
            let mut closure = |inputs: &[Tensor]| match inputs.first().map(forward) {
                Some(Ok(output)) => {
                    gave = output.size();
                    vec![output]
                }
                Some(Err(error)) => {
                    failed = Some(error);
                    Vec::new()
                }
                None => Vec::new(),
            };
            let module =
                tch::no_grad(|| CModule::create_by_tracing(CLASS, "forward", &[example], &mut closure))?;
            failed.map_or(Ok((module, gave)), Err)
        };
        let (module, gave) = traced().map_err(|error| format!("{name} cannot be traced: {error}"))?;
        let shape = |row: &[String]| format!("[{}]", [&["\"batch\"".to_owned()], row].concat().join(", "));
        let input: Vec<String> = row.iter().map(ToString::to_string).collect();
        let output: Vec<String> = gave.iter().skip(1).map(ToString::to_string).collect();
        let manifest = format!(
            "backend = \"libtorch\"\nfile = \"model.pt\"\ndescription = \"traced in process, random weights\"\n\n\
             [[inputs]]\nname = \"input\"\ndtype = \"f32\"\nshape = {}\n\n\
             [[outputs]]\nname = \"output\"\ndtype = \"f32\"\nshape = {}\n",
            shape(&input),
            shape(&output)
        );
        Ok(Self { name: name.to_owned(), module, manifest, row: row.to_vec() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape of one row of its input.
    pub fn row(&self) -> &[usize] {
        &self.row
    }

    /// Its `model.toml`.
    ///
    /// # Errors
    /// The errors of [`Manifest::parse`], none of which occurs for a traced model.
    pub fn manifest(&self) -> Result<Manifest, String> {
        Manifest::parse(&self.manifest).map_err(|errors| errors.join("; "))
    }

    /// Writes `<repository>/<name>/1/model.pt` and `model.toml`; the path of the former is returned.
    ///
    /// # Errors
    /// The message of the file system or libtorch.
    pub fn write(&self, repository: &Path) -> Result<PathBuf, String> {
        let folder = repository.join(&self.name).join("1");
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(&folder).map_err(|error| wrong(&error))?;
        std::fs::write(folder.join("model.toml"), &self.manifest).map_err(|error| wrong(&error))?;
        let file = folder.join("model.pt");
        self.module.save(&file).map_err(|error| wrong(&error))?;
        Ok(file)
    }
}
