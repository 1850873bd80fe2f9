//! Lets the binaries and the tests of a package find libtorch, librdkafka and ONNX Runtime with no variable set: their directories go into the rpath.

use std::path::Path;

fn main() {
    for (variable, name) in [("LIBTORCH", "libtorch"), ("LIBRDKAFKA", "librdkafka")] {
        println!("cargo:rerun-if-env-changed={variable}");
        let root = std::env::var(variable).unwrap_or_default();
        let Ok(libs) = Path::new(&root).join("lib").canonicalize() else {
            println!("cargo:error=no {name} at '{root}': run `make setup`");
            return;
        };
        println!("cargo:rerun-if-changed={}", libs.display());
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libs.display());
    }
    // Loaded only if a model asks for it, so that a build goes without.
    println!("cargo:rerun-if-env-changed=ONNXRUNTIME");
    let root = std::env::var("ONNXRUNTIME").unwrap_or_default();
    if let Ok(libs) = Path::new(&root).join("lib").canonicalize() {
        println!("cargo:rerun-if-changed={}", libs.display());
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libs.display());
    }
}
