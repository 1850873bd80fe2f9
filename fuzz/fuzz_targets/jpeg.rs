//! See `checks/jpeg.rs`.

#![no_main]

#[path = "../checks/jpeg.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
