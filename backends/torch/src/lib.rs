//! libtorch: TorchScript files, on a CPU or an NVIDIA GPU.
//!
//! Threads. `threads` is the number of libtorch's intra-op threads. It is OpenMP's count for the *calling* thread, and
//! also the default for threads that have not used libtorch yet. A model sets it on the thread that loads it, which
//! also runs it, so each instance has its own. Of two models on one thread, the one loaded last decides. The default is
//! one: on busy cores more threads are mostly slower, sometimes by far. The graph executor's optimisation, a setting of
//! the thread as well, is off: it makes the first calls slow and the later ones hardly faster.

mod convert;
mod cuda;
mod model;
mod probe;
mod program;
pub mod shim;
pub mod traced;
mod weights;

use lockstep_backend::{Backend, BackendError, Model};
use lockstep_engine::infer::load_model::{Device, LoadModel};

pub use convert::{Staged, said, shortened, to_host};
pub use model::ready_thread;

/// The backend `libtorch`.
#[derive(Debug)]
pub struct TorchBackend {
    /// Ok if CUDA is available; else the reason.
    cuda: Result<(), String>,
}

impl TorchBackend {
    /// Prepares libtorch for the devices that the models of this process will use. libtorch looks for CUDA once, so
    /// this call precedes any other use. It loads `libtorch_cuda` if a device is [`Device::Auto`] or [`Device::Cuda`].
    /// A failure is no error yet: `auto` falls back to the CPU, and [`Backend::load`] reports it for a model that
    /// requires CUDA.
    pub fn new(devices: impl IntoIterator<Item = Device>) -> Self {
        let wanted = devices.into_iter().any(|device| device != Device::Cpu);
        let cuda =
            if wanted { cuda::load() } else { Err("no model has asked for it at the start".to_owned()) };
        if wanted {
            match &cuda {
                Ok(()) => tracing::debug!(devices = tch::Cuda::device_count(), "CUDA available"),
                Err(reason) => tracing::debug!(reason, "CUDA not used"),
            }
        }
        Self { cuda }
    }

    /// Where a model that asks for a device goes.
    pub fn place(&self, device: Device) -> Result<tch::Device, String> {
        let count =
            if self.cuda.is_ok() { usize::try_from(tch::Cuda::device_count()).unwrap_or(0) } else { 0 };
        match (device, &self.cuda) {
            (Device::Cpu, _) | (Device::Auto, Err(_)) => Ok(tch::Device::Cpu),
            (Device::Auto, Ok(())) => Ok(if count > 0 { tch::Device::Cuda(0) } else { tch::Device::Cpu }),
            (Device::Cuda(index), Err(reason)) => Err(format!(
                "the device is cuda:{index}, but CUDA cannot be used: {reason}; use device = \"cpu\" or \"auto\""
            )),
            (Device::Cuda(index), Ok(())) if index < count => Ok(tch::Device::Cuda(index)),
            (Device::Cuda(index), Ok(())) => Err(format!(
                "the device is cuda:{index}, but libtorch sees {count} GPUs; counting begins at cuda:0"
            )),
        }
    }
}

impl Backend for TorchBackend {
    fn name(&self) -> &'static str {
        "libtorch"
    }

    fn load(&self, model: &LoadModel) -> Result<Box<dyn Model>, BackendError> {
        let device = self
            .place(model.device)
            .map_err(|message| BackendError::Load { model: lockstep_backend::named(model), message })?;
        Ok(Box::new(model::TorchModel::load(model, device)?))
    }

    fn devices(&self) -> Vec<String> {
        let count = if self.cuda.is_ok() { tch::Cuda::device_count() } else { 0 };
        (0..count).map(|index| format!("cuda:{index}")).chain(["cpu".to_owned()]).collect()
    }
}
