//! The trait of model runtimes: small and synchronous. A model is created on the thread that owns it and never leaves
//! that thread, so a runtime's handles need be neither `Send` nor `Sync`.

mod digest;
mod digest_cache;
mod regular;
mod verify;
mod weights;
mod zeros;

use std::path::Path;
use std::sync::Arc;

use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::infer::rows::check_outputs;
use lockstep_engine::infer::signature::Signature;
use lockstep_engine::tensor::Tensor;

pub use digest::digest_of;
pub use verify::verify_file;
pub use weights::{read_weights, weight_files, weights_folder};
pub use zeros::zeros;

/// A model runtime: loads models.
pub trait Backend: Send + Sync {
    /// The name in `model.toml`: `libtorch`.
    fn name(&self) -> &'static str;

    /// Loads a model on the calling thread, after [`verify_file`]. Checks the model against its signature as far as the file
    /// allows, and warms it up if configured.
    ///
    /// # Errors
    /// An error in the file, the device or the signature, with the tensor, its shape and the expected shape.
    fn load(&self, model: &LoadModel) -> Result<Box<dyn Model>, BackendError>;

    /// Returns the signature that a model's file tells by itself.
    ///
    /// # Errors
    /// The fault of the file, or that files of this runtime tell no signature.
    fn describe(&self, file: &Path) -> Result<Signature, String> {
        let (file, name) = (file.display(), self.name());
        Err(format!(
            "{file}: a file of {name} does not tell its signature; write its tensors into model.toml"
        ))
    }

    /// The bytes that a copy of a model counts for: those of [`footprint`], unless files of this runtime name further files.
    fn footprint(&self, model: &LoadModel) -> u64 {
        footprint(model)
    }

    /// The devices that `auto` may choose from, best first, for humans: `cuda:0 (NVIDIA H100)`, `cpu`.
    fn devices(&self) -> Vec<String>;
}

/// A loaded model, on the thread that loaded it.
pub trait Model {
    /// Runs one batch. `inputs` are in the order of the signature's inputs, the result in the order of its outputs. The
    /// model may take the memory of inputs for its outputs; the caller reuses the rest.
    ///
    /// # Errors
    /// The runtime's message, or the tensor whose shape differs from the signature.
    fn run(&mut self, inputs: &mut [Tensor]) -> Result<Vec<Tensor>, BackendError>;

    /// Releases cached memory after [`BackendError::OutOfMemory`]. Does nothing unless the runtime can.
    fn release_memory(&mut self) {}

    /// Returns the means to end a run from another thread, if the runtime has one.
    fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        None
    }

    /// The device of the model: `cpu` or `cuda:0`.
    fn device(&self) -> &str;
}

/// Ends the run of a model from another thread.
pub trait Interrupt: Send + Sync {
    /// Asks the run under way to end with an error soon. The model is not run again.
    fn interrupt(&self);
}

/// An error of a runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The model cannot be used.
    #[error("model {model}: {message}")]
    Load {
        /// Name and version.
        model: String,
        /// The fault, and what would be right.
        message: String,
    },
    /// This batch failed; the next may succeed.
    #[error("model {model}: {message}")]
    Run {
        /// Name and version.
        model: String,
        /// The fault.
        message: String,
    },
    /// This batch is too large for the memory; a smaller one may succeed.
    #[error("model {model} on {device}: {message}")]
    OutOfMemory {
        /// Name and version.
        model: String,
        /// The device.
        device: String,
        /// The fault.
        message: String,
    },
    /// The device is lost or failing: this copy of the model can run no more on it.
    #[error("model {model} on {device}: {message}")]
    Device {
        /// Name and version.
        model: String,
        /// The device.
        device: String,
        /// The fault.
        message: String,
    },
}

/// The bytes that a copy of a model occupies, as far as its files tell: their size, with the weights that are apart. A built-in
/// model has none, and a file that cannot be read counts for none, since its load will say so.
pub fn footprint(model: &LoadModel) -> u64 {
    size_of(&model.file) + weight_files(model).iter().map(|file| size_of(file)).sum::<u64>()
}

/// The bytes of a file; none if it cannot be read.
pub fn size_of(file: &Path) -> u64 {
    std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file).map_or(0, |it| it.len())
}

/// The name and version, for messages.
pub fn named(model: &LoadModel) -> String {
    format!("{}/{}", model.name, model.version)
}

/// Runs a loaded model once for each warm-up size, on zeros. So the first real batch is not slow, and outputs that differ from the
/// signature show before anything serves.
///
/// # Errors
/// The first run that fails, or an input of unknown extents.
pub fn warm_up(loaded: &mut dyn Model, model: &LoadModel) -> Result<(), BackendError> {
    for rows in &model.warm_up {
        let mut inputs =
            zeros(model, *rows).map_err(|message| BackendError::Load { model: named(model), message })?;
        loaded.run(&mut inputs).map_err(|error| match error {
            BackendError::Run { model, message } => {
                BackendError::Load { model, message: format!("a batch of {rows} of zeros fails: {message}") }
            }
            other => other,
        })?;
    }
    Ok(())
}

/// Checks a batch against the signature, and learns the values of its names.
pub fn check_inputs(model: &LoadModel, inputs: &[Tensor]) -> Result<Extents, BackendError> {
    let refuse = |message: String| BackendError::Run { model: named(model), message };
    let specs = &model.signature.inputs;
    if specs.len() != inputs.len() {
        return Err(refuse(format!("{} inputs were given, it takes {}", inputs.len(), specs.len())));
    }
    let mut extents = Extents::default();
    for (spec, input) in specs.iter().zip(inputs) {
        extents
            .fit("input", spec, input.dtype(), input.shape())
            .map_err(|mismatch| refuse(mismatch.to_string()))?;
    }
    Ok(extents)
}

/// Checks the outputs of a run against the signature, and passes them on. `extents` are those that [`check_inputs`] has learned.
///
/// # Errors
/// The first output whose type or shape differs from the signature.
pub fn checked_outputs(
    model: &LoadModel,
    mut extents: Extents,
    outputs: Vec<Tensor>,
) -> Result<Vec<Tensor>, BackendError> {
    check_outputs(&model.signature, &mut extents, &outputs).map_err(|mismatch| BackendError::Run {
        model: named(model),
        message: format!("{mismatch}; the model file and its model.toml do not agree"),
    })?;
    Ok(outputs)
}
