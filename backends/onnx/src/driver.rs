//! The number of GPUs, from NVIDIA's driver. ONNX Runtime tells which providers it was built with, but not whether a GPU is there.

use std::error::Error;
use std::ffi::{c_int, c_uint};

use libloading::{Library, Symbol};

const LIBRARY: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };
/// `CUDA_ERROR_NO_DEVICE` in cuda.h.
const NO_DEVICE: c_int = 100;

type InitDriver = unsafe extern "C" fn(c_uint) -> c_int;
type CountDevices = unsafe extern "C" fn(*mut c_int) -> c_int;

/// The number of GPUs that programs of this process can use. `CUDA_VISIBLE_DEVICES` limits it.
///
/// # Errors
/// The driver is missing, or fails.
pub(crate) fn gpu_count() -> Result<usize, String> {
    count(LIBRARY)
}

#[allow(unsafe_code)]
fn count(library: &str) -> Result<usize, String> {
    let missing = |error: libloading::Error| {
        let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        format!("the NVIDIA driver cannot be used ({why})")
    };
    // SAFETY: the driver's initialisers are NVIDIA's and ask nothing of the program that loads them.
    let driver = unsafe { Library::new(library) }.map_err(missing)?;
    // SAFETY: the type is that of cuInit in cuda.h, `CUresult cuInit(unsigned int Flags)`, and `driver` outlives the symbol.
    let init: Symbol<'_, InitDriver> = unsafe { driver.get(b"cuInit") }.map_err(missing)?;
    // SAFETY: the type is that of cuDeviceGetCount in cuda.h, `CUresult cuDeviceGetCount(int *count)`.
    let device_count: Symbol<'_, CountDevices> =
        unsafe { driver.get(b"cuDeviceGetCount") }.map_err(missing)?;
    // SAFETY: Flags must be 0. The call may come more than once, and from any thread.
    let status = unsafe { init(0) };
    let mut count = 0;
    let status = match status {
        // SAFETY: the driver is initialised, and writes one int to `count`, which is valid for the call.
        0 => unsafe { device_count(&raw mut count) },
        failed => failed,
    };
    // The driver stays for the providers. It does not support to be unloaded after cuInit.
    std::mem::forget(driver);
    match status {
        0 => Ok(usize::try_from(count).unwrap_or(0)),
        NO_DEVICE => Ok(0),
        failed => Err(format!("the NVIDIA driver fails with error {failed} of cuda.h; see nvidia-smi")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_driver_is_named() {
        let error = count("libno-such-driver.so.1").expect_err("it is not there");
        assert!(error.contains("NVIDIA driver") && error.contains("libno-such-driver.so.1"), "{error}");
    }
}
