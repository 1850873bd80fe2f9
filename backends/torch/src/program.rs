//! A TorchScript module in an optimised form, behind the shim over libtorch's C++ interface.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::path::Path;
use std::ptr::NonNull;

use lockstep_engine::infer::load_model::Optimize;
use tch::Tensor;
use torch_sys::C_tensor;

use crate::convert::shortened;
use crate::shim::{exchange, succeeded};

/// A program of the shim.
#[repr(C)]
struct RawProgram {
    _private: [u8; 0],
}

unsafe extern "C" {
    fn lockstep_torch_load(
        path: *const c_char,
        device: *const c_char,
        fused: bool,
        channels_last: bool,
        out: *mut *mut RawProgram,
    ) -> *mut c_char;
    fn lockstep_torch_run(
        program: *mut RawProgram,
        inputs: *const *mut C_tensor,
        count: usize,
        outputs: *mut *mut C_tensor,
        capacity: usize,
        returned: *mut usize,
    ) -> *mut c_char;
    fn lockstep_torch_unload(program: *mut RawProgram);
}

/// A module in an optimised form. It stays on the thread that loaded it.
pub(crate) struct Program {
    raw: NonNull<RawProgram>,
}

impl Program {
    /// Loads a file on a device, `cpu` or `cuda:0`, and optimises it.
    ///
    /// # Errors
    /// libtorch's message.
    pub(crate) fn load(file: &Path, device: &str, form: Optimize) -> Result<Self, String> {
        let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| "its path contains a zero byte".to_owned());
        let (path, device) = (text(file.as_os_str().as_encoded_bytes())?, text(device.as_bytes())?);
        let fused = matches!(form, Optimize::Fused | Optimize::ChannelsLast);
        let channels_last = form == Optimize::ChannelsLast;
        let mut raw = std::ptr::null_mut();
        // SAFETY: Both texts end with a zero and live beyond the call, and `raw` is a place for one pointer. The shim writes it
        // only if it returns null.
        let answer = unsafe {
            lockstep_torch_load(path.as_ptr(), device.as_ptr(), fused, channels_last, &raw mut raw)
        };
        // SAFETY: The shim answers with null or a message of `strdup`.
        unsafe { succeeded(answer) }.map_err(|message| shortened(&message))?;
        let raw = NonNull::new(raw).ok_or("libtorch returned no module")?;
        Ok(Self { raw })
    }

    /// Runs the module.
    ///
    /// # Errors
    /// libtorch's message, or the number of outputs if there are more than `expected`.
    pub(crate) fn run(&mut self, inputs: &[Tensor], expected: usize) -> Result<Vec<Tensor>, String> {
        let run = |given, count, outputs, capacity, returned| {
            // SAFETY: `self.raw` comes from `lockstep_torch_load` and is unloaded on drop only; `&mut self` rules out another call
            // meanwhile. The pointers are those of `exchange`, which outlive the call. torch-sys and the shim both mean
            // `at::Tensor*`, of the same libtorch.
            unsafe { lockstep_torch_run(self.raw.as_ptr(), given, count, outputs, capacity, returned) }
        };
        // SAFETY: The shim copies the handles of `count` inputs, writes at most `capacity` pointers, each to a new tensor, and answers
        // with null or a message of `strdup`.
        unsafe { exchange(inputs, expected, run) }.map_err(|message| shortened(&message))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: `self.raw` comes from `lockstep_torch_load` and is not used after this.
        unsafe { lockstep_torch_unload(self.raw.as_ptr()) };
    }
}
