//! Lets the binary and the tests find libtorch with no variable set: its directory goes into their rpath.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let libtorch = std::env::var("LIBTORCH").unwrap_or_default();
    let Ok(libs) = Path::new(&libtorch).join("lib").canonicalize() else {
        println!("cargo:error=no libtorch at '{libtorch}': run `make setup`");
        return;
    };
    println!("cargo:rerun-if-changed={}", libs.display());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libs.display());
}
