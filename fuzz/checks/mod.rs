//! What holds whatever the bytes. The fuzz targets run these under libFuzzer, and `engine/tests/fuzz_smoke.rs` over random
//! changes of good files, on any toolchain.

pub mod content_type;
pub mod flac;
pub mod headers;
pub mod jpeg;
pub mod manifest;
pub mod wav;
