//! `lockstep bench load` as its users have it, for a moment, on the embedded broker: figures mean nothing then, but nothing
//! may be lost.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

use std::process::Command;

use serde_json::Value;

#[test]
fn load_above_the_capacity_loses_nothing_within_the_budget() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    bench.args(["--log-level", "warn", "bench", "load", "--seconds", "2", "--json"]);
    let output = bench.output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let cases = report["cases"].as_array().expect("cases");
    let case = |name: &str| {
        let found = cases.iter().find(|case| case["name"].as_str().is_some_and(|it| it.starts_with(name)));
        found.unwrap_or_else(|| panic!("no case {name:?}: {report}"))
    };
    for none in ["samples lost", "late or dead-lettered", "results of one sample alone", "results twice"] {
        assert_eq!(case(&format!("step: {none}"))["ours"], 0.0, "{report}");
    }
    assert_eq!(case("step: samples in results")["ratio"], 1.0, "{report}");
    assert!(case("step: most bytes in flight")["ratio"].as_f64() <= Some(1.0), "{report}");
    for policy in ["fixed", "step", "target"] {
        assert!(case(&format!("policy {policy}: drained in"))["ours"].as_f64() > Some(0.0), "{report}");
    }
    assert!(case("shards: changes of their number")["ours"].as_f64() >= Some(2.0), "{report}");

    assert!(case("streams: pairs of 100")["ours"].as_f64() > Some(0.0), "{report}");

    let looks = report["looks"].as_array().expect("looks");
    let has = |what: &str| looks.iter().any(|look| look[what].as_f64() > Some(0.0));
    assert!(["rss", "in_flight", "age", "sent", "results"].iter().all(|what| has(what)), "{looks:?}");
}
