//! A TorchScript module in an optimised form, behind the shim over libtorch's C++ interface.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::ptr::NonNull;

use lockstep_engine::infer::load_model::Optimize;
use tch::Tensor;
use torch_sys::C_tensor;

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
    fn free(memory: *mut c_void);
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
        said(unsafe {
            lockstep_torch_load(path.as_ptr(), device.as_ptr(), fused, channels_last, &raw mut raw)
        })?;
        let raw = NonNull::new(raw).ok_or("libtorch returned no module")?;
        Ok(Self { raw })
    }

    /// Runs the module.
    ///
    /// # Errors
    /// libtorch's message, or the number of outputs if there are more than `expected`.
    pub(crate) fn run(&mut self, inputs: &[Tensor], expected: usize) -> Result<Vec<Tensor>, String> {
        let given: Vec<*mut C_tensor> = inputs.iter().map(|input| input.as_ptr().cast_mut()).collect();
        let mut outputs = vec![std::ptr::null_mut(); expected];
        let mut returned = 0;
        // SAFETY: `self.raw` comes from `lockstep_torch_load` and is unloaded on drop only; `&mut self` rules out another call
        // meanwhile. `given` has as many pointers as said, to tensors that `inputs` borrows beyond the call; the shim copies the
        // handles. `outputs` has room for `expected` pointers, and the shim writes no more. torch-sys and the shim both mean
        // `at::Tensor*`, of the same libtorch.
        said(unsafe {
            lockstep_torch_run(
                self.raw.as_ptr(),
                given.as_ptr(),
                given.len(),
                outputs.as_mut_ptr(),
                expected,
                &raw mut returned,
            )
        })?;
        if returned > expected {
            return Err(format!("it returned {returned} tensors; model.toml names {expected}"));
        }
        // SAFETY: The shim has written `returned` pointers, each to a new `at::Tensor` that nobody else owns.
        Ok(outputs.into_iter().take(returned).map(|output| unsafe { Tensor::from_ptr(output) }).collect())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: `self.raw` comes from `lockstep_torch_load` and is not used after this.
        unsafe { lockstep_torch_unload(self.raw.as_ptr()) };
    }
}

/// Takes a message of the shim, without the traces of libtorch's own source files.
fn said(message: *mut c_char) -> Result<(), String> {
    let Some(message) = NonNull::new(message) else { return Ok(()) };
    // SAFETY: A message that is not null comes from `strdup`: it ends with a zero, and we own it. It is freed once, after the
    // copy.
    let text = unsafe {
        let text = CStr::from_ptr(message.as_ptr()).to_string_lossy().into_owned();
        free(message.as_ptr().cast());
        text
    };
    Err(crate::convert::shortened(&text))
}
