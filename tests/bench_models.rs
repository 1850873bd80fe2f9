//! `lockstep bench models` as its users have it, with fewer cycles: no runtime may keep the memory of models.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

use std::process::Command;

use serde_json::Value;

/// Fewer cycles than by default leave more to the moods of the allocator than the goal of the bench does. A model that stays in
/// memory still exceeds it: 40 copies of the smallest take more than 40 MiB.
const GROWTH: f64 = 1.1;

#[test]
fn models_that_end_or_fail_to_load_give_their_memory_back() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    bench.args(["--log-level", "warn", "bench", "models", "--cycles", "50", "--json"]);
    let output = bench.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let cases = report["cases"].as_array().expect("cases");
    for form in ["libtorch", "onnxruntime", "onnxruntime, prepacked"] {
        let name = format!("200 MB ({form}): peak");
        assert!(cases.iter().any(|case| case["name"] == name.as_str()), "{name}: {report}");
    }
    for runtime in ["libtorch", "onnxruntime", "pt2"] {
        for outcome in ["load, run, drop", "cut file", "wrong signature"] {
            let name = format!("({runtime}): {outcome}");
            let of = cases.iter().filter(|case| case["name"].as_str().is_some_and(|it| it.ends_with(&name)));
            let ratios: Vec<_> = of.filter_map(|case| case["ratio"].as_f64()).collect();
            assert!(!ratios.is_empty() && ratios.iter().all(|ratio| *ratio < GROWTH), "{name}: {report}");
        }
    }
}
