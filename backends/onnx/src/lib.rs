//! ONNX Runtime: `.onnx` files, on a CPU or an NVIDIA GPU.
//!
//! The library is loaded when the first model asks for it (`library.rs`). Each model is a session of its own with one
//! thread for its operators, unless `threads` says more. No thread spins: other stages need the cores.

mod convert;
mod device;
mod driver;
mod external;
mod library;
mod model;
mod provider;
mod signature;

use std::path::Path;

use lockstep_backend::{Backend, BackendError, Model};
use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::infer::signature::{Signature, in_one_line};

use device::{GpuOffer, SessionDevice};
use ort::session::Session;

pub use convert::borrowed;
pub use library::said;

/// A session of a file with the options of this backend, on the CPU. With `prepack`, ONNX Runtime copies weights into the order that its
/// kernels prefer.
///
/// # Errors
/// The library is missing, or the file does not load.
pub fn cpu_session(file: &Path, threads: usize, prepack: bool) -> Result<Session, String> {
    model::session(file, SessionDevice::Cpu, threads, prepack)
}

/// The backend `onnxruntime`.
#[derive(Debug, Default)]
pub struct OnnxBackend;

impl Backend for OnnxBackend {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn load(&self, model: &LoadModel) -> Result<Box<dyn Model>, BackendError> {
        Ok(Box::new(model::OnnxModel::load(model)?))
    }

    fn describe(&self, file: &Path) -> Result<Signature, String> {
        model::describe(file).map_err(|error| in_one_line(&error))
    }

    fn footprint(&self, model: &LoadModel) -> u64 {
        external::footprint(model)
    }

    fn devices(&self) -> Vec<String> {
        // Without the library no model loads, and the load says why.
        let gpus = library::gpu_offer().map_or(0, GpuOffer::usable);
        (0..gpus).map(|index| format!("cuda:{index}")).chain(["cpu".to_owned()]).collect()
    }
}
