//! Tests of preprocessing.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests may stop, as tests do")]

mod crops;
mod drift;
mod faults;
mod golden;
mod header;
mod jpegs;
mod scaled;
mod sound;
mod support;
mod text;
