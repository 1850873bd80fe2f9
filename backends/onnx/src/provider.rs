//! The execution providers of ONNX Runtime for NVIDIA GPUs, and the meaning of their errors.

use lockstep_backend::BackendError;
use lockstep_engine::infer::load_model::GpuProvider;
use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{CUDA, TensorRT};
use ort::session::builder::SessionBuilder;

use crate::device::SessionDevice;
use crate::library::said;

/// Adds the providers of a device to the options of a session.
///
/// # Errors
/// The library's answer if a provider cannot be used: mostly a library of NVIDIA that is missing.
pub(crate) fn register(options: SessionBuilder, device: SessionDevice) -> Result<SessionBuilder, String> {
    let SessionDevice::Gpu { index, provider } = device else { return Ok(options) };
    let id =
        i32::try_from(index).map_err(|_| format!("cuda:{index} is no GPU; counting begins at cuda:0"))?;
    let cuda = CUDA::default()
        .with_device_id(id)
        // TF32 rounds the factors of products to 10 bits, so that outputs would differ from those on the CPU.
        .with_tf32(false)
        // The default measures all algorithms for each new shape. Batches come in many sizes.
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
        .build()
        .error_on_failure();
    let providers = match provider {
        GpuProvider::Cuda => vec![cuda],
        // No cache of engines: ONNX Runtime names a cached engine by the graph and not by its weights, so that a new version of a
        // model could run with the weights of the old one.
        GpuProvider::TensorRt => {
            vec![TensorRT::default().with_device_id(id).build().error_on_failure(), cuda]
        }
    };
    let name = match provider {
        GpuProvider::Cuda => "CUDA",
        GpuProvider::TensorRt => "TensorRT",
    };
    options.with_execution_providers(providers).map_err(|error| {
        format!(
            "the device is cuda:{index}, but {name} of this ONNX Runtime cannot be used: {}; install the libraries of NVIDIA that \
             it names, and put their folders in LD_LIBRARY_PATH",
            said(&error)
        )
    })
}

/// The meaning of an error of a run on this device. On the CPU every batch fails for itself.
pub(crate) fn error_of(model: String, device: String, message: String) -> BackendError {
    if device == "cpu" {
        return BackendError::Run { model, message };
    }
    // The arena of ONNX Runtime (bfc_arena.cc), and CUDA, cuDNN and cuBLAS (cuda_call.cc).
    let is_out_of_memory = ["Failed to allocate memory", "out of memory", "ALLOC_FAILED"];
    if is_out_of_memory.iter().any(|said| message.contains(said)) {
        return BackendError::OutOfMemory { model, device, message };
    }
    // After most errors of CUDA itself every later call fails as well.
    if ["CUDA failure", "CUDA error", "CUDNN failure", "CUBLAS failure"]
        .iter()
        .any(|said| message.contains(said))
    {
        return BackendError::Device { model, device, message };
    }
    BackendError::Run { model, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(device: &str, message: &str) -> BackendError {
        error_of("m/1".to_owned(), device.to_owned(), message.to_owned())
    }

    #[test]
    fn gpu_errors_tell_memory_from_a_lost_device() {
        let memory =
            "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 1024";
        assert!(matches!(of("cuda:0", memory), BackendError::OutOfMemory { .. }));
        let lost = "CUDA failure 719: unspecified launch failure ; GPU=0";
        assert!(matches!(of("cuda:0", lost), BackendError::Device { .. }));
        assert!(matches!(
            of("cuda:0", "CUDA failure 2: out of memory ; GPU=0"),
            BackendError::OutOfMemory { .. }
        ));
        assert!(matches!(of("cuda:0", "invalid dimensions"), BackendError::Run { .. }));
        assert!(matches!(of("cpu", memory), BackendError::Run { .. }));
    }
}
