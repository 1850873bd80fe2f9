//! See `checks/content_type.rs`.

#![no_main]

#[path = "../checks/content_type.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
