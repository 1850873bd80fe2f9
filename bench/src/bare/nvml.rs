//! The load of a GPU from NVIDIA's management library (NVML): the share of the last sampling period in which at least
//! one kernel ran. <https://docs.nvidia.com/deploy/nvml-api/>

#![allow(clippy::disallowed_methods, reason = "it samples at a steady rate: there is no event to wait for")]

use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libloading::Library;

type Init = unsafe extern "C" fn() -> c_int;
type HandleByIndex = unsafe extern "C" fn(c_uint, *mut *mut c_void) -> c_int;
type UtilizationRates = unsafe extern "C" fn(*mut c_void, *mut Utilization) -> c_int;

/// `nvmlUtilization_t`: percentages.
#[repr(C)]
#[derive(Default)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

/// The library, loaded and initialised.
#[derive(Debug)]
pub struct Nvml {
    library: Library,
}

#[allow(unsafe_code)]
impl Nvml {
    /// Loads `libnvidia-ml.so.1`, which comes with NVIDIA's driver.
    ///
    /// # Errors
    /// If the library is missing or fails.
    pub fn load() -> Result<Self, String> {
        // SAFETY: the library's initialisers are NVIDIA's and ask nothing of the program that loads it.
        let library = unsafe { Library::new("libnvidia-ml.so.1") }
            .map_err(|error| format!("NVML cannot be loaded, so the load of the GPU is unknown: {error}"))?;
        // SAFETY: the type is that of nvmlInit_v2 in nvml.h, `nvmlReturn_t nvmlInit_v2(void)`, and the library
        // outlives the call. It may be called more than once.
        let status = unsafe { library.get::<Init>(b"nvmlInit_v2").map(|init| init()) };
        done("nvmlInit_v2", status)?;
        Ok(Self { library })
    }

    /// The busy share of a GPU now, 0 to 1. Its number is the driver's, which `CUDA_VISIBLE_DEVICES`
    /// does not change.
    ///
    /// # Errors
    /// NVML's message.
    pub fn busy(&self, gpu: u32) -> Result<f64, String> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: the type is that of nvmlDeviceGetHandleByIndex_v2 in nvml.h; NVML is initialised, and writes
        // one pointer to `handle`, which is valid for the call.
        let status = unsafe {
            self.library
                .get::<HandleByIndex>(b"nvmlDeviceGetHandleByIndex_v2")
                .map(|by_index| by_index(gpu, &raw mut handle))
        };
        done("nvmlDeviceGetHandleByIndex_v2", status)?;
        let mut rates = Utilization::default();
        // SAFETY: the type is that of nvmlDeviceGetUtilizationRates in nvml.h; `handle` is what NVML has just
        // given, and it writes one nvmlUtilization_t, laid out as above, to `rates`.
        let status = unsafe {
            self.library
                .get::<UtilizationRates>(b"nvmlDeviceGetUtilizationRates")
                .map(|utilization| utilization(handle, &raw mut rates))
        };
        done("nvmlDeviceGetUtilizationRates", status)?;
        Ok(f64::from(rates.gpu) / 100.0)
    }

    /// Runs `work` and returns the load of the GPU meanwhile: the mean of samples, taken ten times a second on a thread
    /// of its own. `None` without a sample.
    pub fn busy_while<T>(&self, gpu: u32, work: impl FnOnce() -> T) -> (T, Option<f64>) {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sampler = scope.spawn(|| {
                let mut samples = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    std::thread::park_timeout(Duration::from_millis(100));
                    samples.extend(self.busy(gpu));
                }
                (!samples.is_empty()).then(|| samples.iter().sum::<f64>() / samples.len() as f64)
            });
            // Also set when the work panics, so that the scope can end.
            let _ended = OnDrop(&over);
            let result = work();
            over.store(true, Ordering::Relaxed);
            (result, sampler.join().ok().flatten())
        })
    }
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn done(name: &str, status: Result<c_int, libloading::Error>) -> Result<(), String> {
    match status {
        Ok(0) => Ok(()),
        Ok(code) => Err(format!("{name} failed with NVML's code {code}")),
        Err(error) => Err(format!("{name} is not in libnvidia-ml.so.1: {error}")),
    }
}
