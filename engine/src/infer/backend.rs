//! The trait of model runtimes: small and synchronous. A model is created on the thread that owns it and never leaves
//! that thread, so a runtime's handles need be neither `Send` nor `Sync`.

use std::path::PathBuf;

use crate::infer::extents::Extents;
use crate::infer::signature::Signature;
use crate::tensor::Tensor;

/// A model runtime: loads models.
pub trait Backend: Send + Sync {
    /// The name in `model.toml`: `libtorch`.
    fn name(&self) -> &'static str;

    /// Loads a model on the calling thread, checks it against its signature as far as the file allows, and warms it up
    /// if configured.
    ///
    /// # Errors
    /// An error in the file, the device or the signature, with the tensor, its shape and the expected shape.
    fn load(&self, model: &LoadModel) -> Result<Box<dyn Model>, BackendError>;

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

    /// The device of the model: `cpu` or `cuda:0`.
    fn device(&self) -> &str;
}

/// The model to load, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadModel {
    /// Its name in the repository.
    pub name: String,
    /// Its version in the repository.
    pub version: String,
    /// The file with its code and weights.
    pub file: PathBuf,
    /// The tensors of the model.
    pub signature: Signature,
    /// The device.
    pub device: Device,
    /// Threads inside one operation. More than one is mostly slower on a machine that does other work as well.
    pub threads: usize,
    /// Batch sizes to run once at load with zeros, so that the first real batch is not slow.
    pub warm_up: Vec<usize>,
    /// The extents of the signature's names in those runs, as found by [`crate::infer::check::check_steps`].
    pub extents: Extents,
}

/// The device of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// A GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU by its index.
    Cuda(usize),
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
