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
    /// The form in which the runtime runs it.
    pub optimize: Optimize,
    /// Batch sizes to run once at load with zeros, so that the first real batch is not slow.
    pub warm_up: Vec<usize>,
    /// The extents of the signature's names in those runs, as found by [`crate::infer::check::check_steps`].
    pub extents: Extents,
}

/// The form in which libtorch runs a TorchScript model. Each but the first computes the same numbers up to rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Optimize {
    /// As the file has it.
    #[default]
    None,
    /// Weights are constants, and what depends on constants alone is computed at load.
    Frozen,
    /// Frozen, and convolutions with what follows them are one operation, with weights in the order that the processor prefers.
    Fused,
    /// Fused, and images are stored pixel by pixel (NHWC) inside the model.
    ChannelsLast,
}

impl Optimize {
    /// All forms, with the words of the configuration.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("none", Self::None),
        ("frozen", Self::Frozen),
        ("fused", Self::Fused),
        ("channels-last", Self::ChannelsLast),
    ];
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
