//! The model that a step loads, and its device.

use std::path::PathBuf;

use crate::infer::digest::FileDigest;
use crate::infer::extents::Extents;
use crate::infer::signature::Signature;
use crate::infer::weights::Weights;

/// The model to load, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadModel {
    /// Its name in the repository.
    pub name: String,
    /// Its version in the repository.
    pub version: String,
    /// The file with its code, and its weights unless `weights` names them.
    pub file: PathBuf,
    /// The digest that the file must have; `None` if its `model.toml` names none.
    pub sha256: Option<FileDigest>,
    /// The weights that are apart from the file, in the same folder.
    pub weights: Option<Weights>,
    /// The tensors of the model.
    pub signature: Signature,
    /// The device.
    pub device: Device,
    /// The part of ONNX Runtime that runs the model if the device is a GPU.
    pub provider: GpuProvider,
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

/// An execution provider of ONNX Runtime: the part that runs the operators of a model on an NVIDIA GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GpuProvider {
    /// Kernels of CUDA and cuDNN.
    #[default]
    Cuda,
    /// Engines that TensorRT builds for the model when it loads; CUDA for operators that TensorRT lacks.
    TensorRt,
}
