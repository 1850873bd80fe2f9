//! Compiles the shim, and lets whatever this package builds find libtorch by itself: the library folder goes into the
//! binaries as their run path. `LD_LIBRARY_PATH` still wins over it, so that a full libtorch with
//! CUDA can be put in its place.
//! A build script's link arguments reach its own package only: the root package has its own.

use std::path::{Path, PathBuf};

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
    shim(&root, &lib);
}

/// Compiles the shim over the part of libtorch that tch does not reach.
fn shim(root: &Path, lib: &Path) {
    println!("cargo:rerun-if-changed=src/shim.cpp");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file("src/shim.cpp")
        .include(root.join("include"))
        .include(root.join("include/torch/csrc/api/include"))
        // The headers of libtorch are full of them.
        .warnings(false)
        .compile("lockstep_torch");
    println!("cargo:rustc-link-search=native={}", lib.display());
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
}
