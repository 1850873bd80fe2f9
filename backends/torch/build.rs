//! Lets whatever this package builds find libtorch by itself: the library folder goes into the
//! binaries as their run path. `LD_LIBRARY_PATH` still wins over it, so that a full libtorch with
//! CUDA can be put in its place.
//! A build script's link arguments reach its own package only: the root package has its own.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=LIBTORCH_LIB");
    let from = std::env::var_os("LIBTORCH_LIB").or_else(|| std::env::var_os("LIBTORCH"));
    let Some(root) = from.map(PathBuf::from) else { return };
    println!("cargo:rerun-if-changed={}", root.display());
    // Without a libtorch there torch-sys has failed before, and said so.
    let Ok(lib) = root.join("lib").canonicalize() else { return };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
}
