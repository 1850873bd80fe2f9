//! See `checks/weights.rs`.

#![no_main]

#[path = "../checks/weights.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
