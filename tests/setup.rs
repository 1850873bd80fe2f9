//! The tests of set-up's Python code.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::process::Command;

#[test]
fn setup_reads_weights_right_or_refuses_them() {
    let mut python = Command::new("python3");
    python.args(["-B", "-m", "unittest", "test_weights"]);
    let output = python.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/setup")).output();
    let output = output.expect("python3, which set-up needs, too");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
