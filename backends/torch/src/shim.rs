//! How tensors and messages cross to the shims over libtorch's C++ interface: that of this crate, and that of packages.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;

use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn free(memory: *mut c_void);
}

/// Runs a function of a shim. It gets the inputs and their number, a place for `expected` outputs and their number, and a place
/// for the number that it returns. Returns the outputs.
///
/// # Errors
/// libtorch's message, or the number of outputs if there are more than `expected`.
///
/// # Safety
/// `run` must return null or a message from `strdup`. It must read no more than the inputs, and only during the call. If it returns null, it
/// must have written the number of outputs and, if that is at most `expected`, as many pointers to new `at::Tensor` that nobody else owns.
pub unsafe fn exchange(
    inputs: &[Tensor],
    expected: usize,
    run: impl FnOnce(*const *mut C_tensor, usize, *mut *mut C_tensor, usize, *mut usize) -> *mut c_char,
) -> Result<Vec<Tensor>, String> {
    let given: Vec<*mut C_tensor> = inputs.iter().map(|input| input.as_ptr().cast_mut()).collect();
    let mut outputs = vec![std::ptr::null_mut(); expected];
    let mut returned = 0;
    let message = run(given.as_ptr(), given.len(), outputs.as_mut_ptr(), expected, &raw mut returned);
    // SAFETY: The caller has promised that it is null or comes from `strdup`.
    unsafe { succeeded(message) }?;
    if returned > expected {
        return Err(format!("it returned {returned} tensors; model.toml names {expected}"));
    }
    // SAFETY: The caller has promised that these pointers are to new tensors that nobody else owns.
    Ok(outputs.into_iter().take(returned).map(|output| unsafe { Tensor::from_ptr(output) }).collect())
}

/// Takes the answer of a shim.
///
/// # Errors
/// Its message.
///
/// # Safety
/// `message` must be null or come from `strdup`, and nobody else may use it.
pub unsafe fn succeeded(message: *mut c_char) -> Result<(), String> {
    let Some(message) = NonNull::new(message) else { return Ok(()) };
    // SAFETY: A message from `strdup` ends with a zero, and we own it. It is freed once, after the copy.
    let text = unsafe {
        let text = CStr::from_ptr(message.as_ptr()).to_string_lossy().into_owned();
        free(message.as_ptr().cast());
        text
    };
    Err(text)
}
