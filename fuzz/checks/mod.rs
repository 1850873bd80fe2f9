//! Properties that hold for any bytes. The fuzz targets check them under libFuzzer, and `engine/tests/fuzz_smoke.rs`
//! checks them over random changes of good files, on any toolchain.

pub mod content_type;
pub mod flac;
pub mod headers;
pub mod jpeg;
pub mod manifest;
pub mod wav;
pub mod weights;
