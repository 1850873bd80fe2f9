//! Finds CUDA at run time. The binary links only libtorch's CPU part. `libtorch_cuda` of a full libtorch registers
//! itself on loading; libtorch looks for registrations once.

use std::path::PathBuf;
use std::sync::OnceLock;

const LIBRARY: &str = "libtorch_cuda.so";

/// Loads `libtorch_cuda` from the folder that `libtorch_cpu` came from, or else from where the loader looks.
/// The first call decides for the process.
///
/// # Errors
/// Why CUDA cannot be used, and what would help.
pub(super) fn load() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            open()?;
            if tch::Cuda::is_available() {
                return Ok(());
            }
            Err(format!("{LIBRARY} is loaded but finds no GPU; is the NVIDIA driver there (nvidia-smi)?"))
        })
        .clone()
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn open() -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

    let beside = beside_cpu().map(|folder| folder.join(LIBRARY)).filter(|path| path.is_file());
    let path = beside.unwrap_or_else(|| PathBuf::from(LIBRARY));
    // SAFETY: loading a library runs its initialisers. Those of libtorch_cuda register its kernels in the
    // tables of libtorch_cpu, which was loaded with this program and so is initialised, under their
    // own locks. It is of the same release, or its symbols do not resolve, which RTLD_NOW reports here.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) }.map_err(|error| {
        format!(
            "{} cannot be loaded ({error}); put the lib folder of a full libtorch 2.11.0 with CUDA first in \
             LD_LIBRARY_PATH",
            path.display()
        )
    })?;
    // Its registrations point into the library for as long as the process lives.
    std::mem::forget(library);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn open() -> Result<(), String> {
    Err("CUDA is supported on Linux only".to_owned())
}

/// The folder of the `libtorch_cpu` that this process has loaded.
#[cfg(target_os = "linux")]
fn beside_cpu() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    // The path is the line's last field and may hold spaces.
    let path = maps.lines().filter_map(|line| line.find('/').and_then(|at| line.get(at..)));
    let cpu =
        path.map(PathBuf::from).find(|path| path.file_name().is_some_and(|n| n == "libtorch_cpu.so"))?;
    cpu.parent().map(PathBuf::from)
}
