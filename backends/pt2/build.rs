//! Compiles the shim over libtorch's C++ interface, and lets this package's tests find libtorch.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=src/shim.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let root = std::env::var("LIBTORCH").unwrap_or_default();
    println!("cargo:rerun-if-changed={root}");
    // Without a libtorch there torch-sys has failed before, and said so.
    let Ok(root) = Path::new(&root).canonicalize() else { return };
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file("src/shim.cpp")
        .include(root.join("include"))
        .include(root.join("include/torch/csrc/api/include"))
        // The headers of libtorch are full of them.
        .warnings(false)
        .compile("lockstep_pt2");
    let libs = root.join("lib");
    println!("cargo:rustc-link-search=native={}", libs.display());
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libs.display());
}
