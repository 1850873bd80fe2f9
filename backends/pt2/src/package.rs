//! The package behind the shim. All `unsafe` of this crate is here.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::OnceLock;

use lockstep_torch::shim::{exchange, succeeded};
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
        let answer = unsafe { lockstep_pt2_load(path.as_ptr(), &raw mut raw) };
        // SAFETY: The shim answers with null or a message of `strdup`.
        unsafe { succeeded(answer) }?;
        let raw = NonNull::new(raw).ok_or("libtorch returned no package")?;
        Ok(Self { raw })
    }

    /// Runs the package. Neither of its runtimes checks types and shapes: the caller has.
    ///
    /// # Errors
    /// libtorch's message, or the number of outputs if it is not `expected`.
    pub(crate) fn run(&mut self, inputs: &[Tensor], expected: usize) -> Result<Vec<Tensor>, String> {
        let run = |given, count, outputs, capacity, returned| {
            // SAFETY: `self.raw` comes from `lockstep_pt2_load` and is unloaded on drop only; `&mut self` rules out another call
            // meanwhile. The pointers are those of `exchange`, which outlive the call. torch-sys and the shim both mean
            // `at::Tensor*`, of the same libtorch.
            unsafe { lockstep_pt2_run(self.raw.as_ptr(), given, count, outputs, capacity, returned) }
        };
        // SAFETY: The shim copies the handles of `count` inputs, writes at most `capacity` pointers, each to a new tensor, and answers
        // with null or a message of `strdup`.
        unsafe { exchange(inputs, expected, run) }
    }
}

impl Drop for Package {
    fn drop(&mut self) {
        // SAFETY: `self.raw` comes from `lockstep_pt2_load` and is not used after this.
        unsafe { lockstep_pt2_unload(self.raw.as_ptr()) };
    }
}

/// Makes the name `libtorch.so` known to the dynamic linker. Packages with machine code need it, and only the run path of this
/// program says where it is.
fn find_libtorch() {
    static LIBRARY: OnceLock<Option<libloading::Library>> = OnceLock::new();
    // SAFETY: The library is the libtorch that this program is linked with, and so is initialised already. It is never closed.
    LIBRARY.get_or_init(|| unsafe { libloading::Library::new("libtorch.so") }.ok());
}
