//! The place of a model: a rule over what the library and the driver offer. A model that asks for a GPU never ends on the CPU.

use lockstep_engine::infer::load_model::{Device, GpuProvider};

/// The remedy for a library without providers.
const REMEDY: &str = "set LOCKSTEP_ONNXRUNTIME to the libonnxruntime of a GPU build (PyPI: onnxruntime-gpu)";

/// Where a session runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionDevice {
    Cpu,
    Gpu { index: usize, provider: GpuProvider },
}

impl SessionDevice {
    /// The name for messages and metrics: `cpu` or `cuda:0`.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Cpu => "cpu".to_owned(),
            Self::Gpu { index, .. } => format!("cuda:{index}"),
        }
    }
}

/// What this process has for models on a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GpuOffer {
    /// True if the library has the provider `cuda`.
    pub(crate) has_cuda: bool,
    /// True if the library has the provider `tensorrt`.
    pub(crate) has_tensorrt: bool,
    /// The number of GPUs, or the reason why the driver tells none.
    pub(crate) gpus: Result<usize, String>,
}

impl GpuOffer {
    /// The number of GPUs that `auto` can use.
    pub(crate) fn usable(&self) -> usize {
        self.gpus.as_ref().copied().ok().filter(|_| self.has_cuda).unwrap_or(0)
    }

    /// The place of a model. `auto` goes to the first GPU if the library can use one. From there on it is as if the settings had
    /// named that GPU, so that no fault of it moves the model to the CPU unseen.
    ///
    /// # Errors
    /// The part that the device needs and that is missing, with the remedy.
    pub(crate) fn place(&self, device: Device, provider: GpuProvider) -> Result<SessionDevice, String> {
        let index = match device {
            Device::Cpu => return Ok(SessionDevice::Cpu),
            Device::Auto if self.usable() == 0 => return Ok(SessionDevice::Cpu),
            Device::Auto => 0,
            Device::Cuda(index) => index,
        };
        let at = format!("the device is cuda:{index}, but");
        if !self.has_cuda {
            return Err(format!(
                "{at} this ONNX Runtime runs models on the cpu only; {REMEDY}, or write device = \"cpu\""
            ));
        }
        if provider == GpuProvider::TensorRt && !self.has_tensorrt {
            return Err(format!(
                "{at} this ONNX Runtime has no TensorRT; {REMEDY}, or write provider = \"cuda\""
            ));
        }
        match &self.gpus {
            Err(why) => Err(format!("{at} {why}; write device = \"cpu\" or \"auto\"")),
            Ok(count) if index >= *count => {
                Err(format!("{at} the NVIDIA driver sees {count} GPUs; counting begins at cuda:0"))
            }
            Ok(_) => Ok(SessionDevice::Gpu { index, provider }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(has_cuda: bool, has_tensorrt: bool, gpus: usize) -> GpuOffer {
        GpuOffer { has_cuda, has_tensorrt, gpus: Ok(gpus) }
    }

    #[test]
    fn auto_takes_a_gpu_only_if_library_and_driver_have_it() {
        use GpuProvider::{Cuda, TensorRt};
        let gpu = |provider| Ok(SessionDevice::Gpu { index: 0, provider });
        assert_eq!(offer(true, false, 2).place(Device::Auto, Cuda), gpu(Cuda));
        assert_eq!(offer(true, true, 1).place(Device::Auto, TensorRt), gpu(TensorRt));
        let no_driver = GpuOffer { gpus: Err("no driver".to_owned()), ..offer(true, true, 0) };
        for without in [offer(false, false, 2), offer(true, true, 0), no_driver] {
            assert_eq!(without.usable(), 0);
            assert_eq!(without.place(Device::Auto, Cuda), Ok(SessionDevice::Cpu));
        }
    }

    #[test]
    fn gpu_that_cannot_be_used_is_an_error_with_a_remedy() {
        use GpuProvider::{Cuda, TensorRt};
        let no_driver = GpuOffer { gpus: Err("there is no driver".to_owned()), ..offer(true, true, 0) };
        for (offer, device, provider, says) in [
            (
                offer(false, false, 1),
                Device::Cuda(0),
                Cuda,
                "runs models on the cpu only; set LOCKSTEP_ONNXRUNTIME",
            ),
            (offer(true, false, 1), Device::Cuda(0), TensorRt, "or write provider = \"cuda\""),
            (
                offer(true, false, 1),
                Device::Auto,
                TensorRt,
                "the device is cuda:0, but this ONNX Runtime has no TensorRT",
            ),
            (
                offer(true, true, 1),
                Device::Cuda(1),
                Cuda,
                "the device is cuda:1, but the NVIDIA driver sees 1 GPUs",
            ),
            (no_driver, Device::Cuda(0), Cuda, "there is no driver; write device = \"cpu\" or \"auto\""),
        ] {
            let error = offer.place(device, provider).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn cpu_needs_nothing_of_the_library() {
        let placed = offer(false, false, 0).place(Device::Cpu, GpuProvider::TensorRt);
        assert_eq!(placed, Ok(SessionDevice::Cpu));
    }
}
