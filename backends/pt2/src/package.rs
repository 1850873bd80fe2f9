//! The package behind the shim. All `unsafe` of this crate is here.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::OnceLock;

use tch::Tensor;
use torch_sys::C_tensor;

/// A package of the shim.
#[repr(C)]
struct RawPackage {
    _private: [u8; 0],
}

unsafe extern "C" {
    fn lockstep_pt2_load(path: *const c_char, out: *mut *mut RawPackage) -> *mut c_char;
    fn lockstep_pt2_run(
        package: *mut RawPackage,
        inputs: *const *mut C_tensor,
        count: usize,
        outputs: *mut *mut C_tensor,
        capacity: usize,
        returned: *mut usize,
    ) -> *mut c_char;
    fn lockstep_pt2_unload(package: *mut RawPackage);
    fn free(memory: *mut c_void);
}

/// A loaded package. It stays on the thread that loaded it.
pub(crate) struct Package {
    raw: NonNull<RawPackage>,
}

impl Package {
    /// Loads a file. If it holds machine code, that code is run.
    ///
    /// # Errors
    /// libtorch's message.
    pub(crate) fn load(file: &Path) -> Result<Self, String> {
        find_libtorch();
        let path = CString::new(file.as_os_str().as_encoded_bytes())
            .map_err(|_| "its path contains a zero byte".to_owned())?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: `path` ends with a zero and lives beyond the call, and `raw` is a place for one pointer. The shim writes it only
        // if it returns null.
        said(unsafe { lockstep_pt2_load(path.as_ptr(), &raw mut raw) })?;
        let raw = NonNull::new(raw).ok_or("libtorch returned no package")?;
        Ok(Self { raw })
    }

    /// Runs the package. Neither of its runtimes checks types and shapes: the caller has.
    ///
    /// # Errors
    /// libtorch's message, or the number of outputs if it is not `expected`.
    pub(crate) fn run(&mut self, inputs: &[Tensor], expected: usize) -> Result<Vec<Tensor>, String> {
        let given: Vec<*mut C_tensor> = inputs.iter().map(|input| input.as_ptr().cast_mut()).collect();
        let mut outputs = vec![std::ptr::null_mut(); expected];
        let mut returned = 0;
        // SAFETY: `self.raw` comes from `lockstep_pt2_load` and is unloaded on drop only; `&mut self` rules out another call
        // meanwhile. `given` has as many pointers as said, to tensors that `inputs` borrows beyond the call; the shim copies the
        // handles and writes to none. `outputs` has room for `expected` pointers, and the shim writes no more. torch-sys and the
        // shim both mean `at::Tensor*`, of the same libtorch.
        said(unsafe {
            lockstep_pt2_run(
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

impl Drop for Package {
    fn drop(&mut self) {
        // SAFETY: `self.raw` comes from `lockstep_pt2_load` and is not used after this.
        unsafe { lockstep_pt2_unload(self.raw.as_ptr()) };
    }
}

/// Takes a message of the shim.
fn said(message: *mut c_char) -> Result<(), String> {
    let Some(message) = NonNull::new(message) else { return Ok(()) };
    // SAFETY: A message that is not null comes from `strdup`: it ends with a zero, and we own it. It is freed once, after the
    // copy.
    let text = unsafe {
        let text = CStr::from_ptr(message.as_ptr()).to_string_lossy().into_owned();
        free(message.as_ptr().cast());
        text
    };
    Err(text)
}

/// Makes the name `libtorch.so` known to the dynamic linker. Packages with machine code need it, and only the run path of this
/// program says where it is.
fn find_libtorch() {
    static LIBRARY: OnceLock<Option<libloading::Library>> = OnceLock::new();
    // SAFETY: The library is the libtorch that this program is linked with, and so is initialised already. It is never closed.
    LIBRARY.get_or_init(|| unsafe { libloading::Library::new("libtorch.so") }.ok());
}
