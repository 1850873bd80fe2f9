//! The trait of model runtimes: small and synchronous. A model is made on the thread that owns it and
//! never leaves that thread, so a runtime's handles need be neither `Send` nor `Sync`.

use std::path::PathBuf;

use crate::infer::extents::Extents;
use crate::infer::signature::Signature;
use crate::tensor::Tensor;

/// A model runtime: something that can load models.
pub trait Backend: Send + Sync {
    /// Its name in `model.toml`: `libtorch`.
    fn name(&self) -> &'static str;

    /// Loads a model on the calling thread, checks it against its signature as far as the file tells,
    /// and warms it up if told to.
    ///
    /// # Errors
    /// What is wrong with the file, the device or the signature: which tensor, which shape, which was expected.
    fn load(&self, model: &LoadModel) -> Result<Box<dyn Model>, BackendError>;

    /// The devices that `auto` may choose from, best first, for people: `cuda:0 (NVIDIA H100)`, `cpu`.
    fn devices(&self) -> Vec<String>;
}

/// A loaded model, on the thread that loaded it.
pub trait Model {
    /// Runs one batch. `inputs` are in the order of the signature's inputs; the result is in the order
    /// of its outputs. It may take the memory of inputs for its outputs; what it leaves is used again.
    ///
    /// # Errors
    /// What the runtime said, or which tensor came out in another shape than the signature says.
    fn run(&mut self, inputs: &mut [Tensor]) -> Result<Vec<Tensor>, BackendError>;

    /// Gives back what memory it keeps without need, after [`BackendError::OutOfMemory`]. Does nothing unless the
    /// runtime can.
    fn release_memory(&mut self) {}

    /// The device it is on: `cpu` or `cuda:0`.
    fn device(&self) -> &str;
}

/// Which model to load, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadModel {
    /// Its name in the repository.
    pub name: String,
    /// Its version in the repository.
    pub version: String,
    /// The file with its code and weights.
    pub file: PathBuf,
    /// What goes in and what comes out.
    pub signature: Signature,
    /// Where it runs.
    pub device: Device,
    /// Threads inside one operation. More than one is mostly slower on a machine that does other work as well.
    pub threads: usize,
    /// Batch sizes that are run once at load with zeros, so that the first real batch is not the slow one.
    pub warm_up: Vec<usize>,
    /// What the names in the signature stand for in those runs, as
    /// [`crate::infer::check::check_steps`] found it.
    pub extents: Extents,
}

/// Where a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// A GPU when there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU by its index.
    Cuda(usize),
}

/// What a runtime says when it cannot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The model cannot be used at all.
    #[error("model {model}: {message}")]
    Load {
        /// Name and version.
        model: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// This batch failed; the next may well succeed.
    #[error("model {model}: {message}")]
    Run {
        /// Name and version.
        model: String,
        /// What is wrong.
        message: String,
    },
    /// This batch is too large for the memory that there is; a smaller one may well succeed.
    #[error("model {model} on {device}: {message}")]
    OutOfMemory {
        /// Name and version.
        model: String,
        /// The device.
        device: String,
        /// What is wrong.
        message: String,
    },
    /// The device is lost or out of order: nothing more can run on it with this copy of the model.
    #[error("model {model} on {device}: {message}")]
    Device {
        /// Name and version.
        model: String,
        /// The device.
        device: String,
        /// What is wrong.
        message: String,
    },
}
