//! See `checks/flac.rs`.

#![no_main]

#[path = "../checks/flac.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
