//! Lets the tests of a package find librdkafka by themselves: its directory goes into their rpath.
//! A build script's link arguments reach its own package only: the root package has its own.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBRDKAFKA");
    let root = std::env::var("LIBRDKAFKA").unwrap_or_default();
    println!("cargo:rerun-if-changed={root}");
    // Without a librdkafka there rdkafka-sys has failed before, and said so.
    let Ok(libs) = Path::new(&root).join("lib").canonicalize() else { return };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libs.display());
}
