//! `lockstep simulate` as its users have it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn simulate(args: &[&str]) -> Output {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/talking-face.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.arg("simulate").arg(config).args(args).output().expect("it runs")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn json(args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&text(&simulate(&args))).expect("JSON")
}

fn refusal(args: &[&str]) -> String {
    let output = simulate(args);
    assert!(!output.status.success(), "{args:?} is taken");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Shards that have much to do, on a machine with room for more.
const BUSY: [&str; 7] =
    ["--load", "step", "--cores", "32", "--record-cost", "2ms", "--batch-cost=faces=1ms+100us"];

fn busy<'a>(more: &[&'a str]) -> Vec<&'a str> {
    BUSY.iter().copied().chain(["--batch-cost=voice=1ms+100us"]).chain(more.iter().copied()).collect()
}

#[test]
fn policies_are_compared_side_by_side_under_the_same_load() {
    let told = json(&busy(&["--policy", "all"]));
    let runs = told["runs"].as_array().expect("runs");
    let policies: Vec<&str> = runs.iter().map(|run| run["policy"].as_str().expect("a policy")).collect();
    assert_eq!(policies, ["fixed", "step", "target"]);
    let of = |run: usize, what: &str| runs[run]["summary"][what].as_f64().expect("a number");
    let arrived = of(0, "results") + of(0, "left");
    for (place, run) in runs.iter().enumerate() {
        assert_eq!(of(place, "results") + of(place, "left"), arrived);
        assert_eq!(run["points"].as_array().map(Vec::len), Some(300));
    }
    assert!(of(0, "too_old") > 100.0, "one shard cannot sustain three times its rate");
    assert!(of(2, "too_old") <= told["predicted"].as_f64().expect("a number"));
    assert_eq!(runs[2]["summary"]["too_old_at_end"], false);
    assert_eq!(runs[0]["decisions"].as_array().map(Vec::len), Some(0));
    let why = runs[2]["decisions"][0]["why"].as_str().expect("a line");
    assert!(why.starts_with("shards: 1 -> ") && why.contains("records/s arrive"), "{why}");
    let table = text(&simulate(&busy(&["--policy", "all"])));
    let head = table.lines().find(|line| line.contains("fixed")).expect("columns");
    assert!(head.contains("step") && head.contains("target"), "{table}");
}

#[test]
fn the_same_seed_tells_the_same_and_another_does_not() {
    let of = |seed| text(&simulate(&busy(&["--seed", seed, "--seconds", "60"])));
    assert_eq!(of("7"), of("7"));
    assert_ne!(of("7"), of("8"));
}

#[test]
fn a_table_over_time_comes_with_each_decision_and_its_numbers() {
    let table = text(&simulate(&busy(&["--policy", "target"])));
    assert!(table.contains("policy target") && table.contains("oldest s"), "{table}");
    assert!(table.contains("% busy, limits 1 to 32"), "{table}");
    assert!(table.contains("predicted with the policy target"), "{table}");
}

#[test]
fn a_trace_is_followed_and_what_waits_at_the_start_is_drained() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.csv");
    std::fs::write(&trace, "seconds,records_per_second\n0,50\n30,0\n59,0\n").expect("written");
    let trace = trace.to_str().expect("UTF-8");
    let told = json(&["--load", trace, "--backlog", "1000"]);
    assert_eq!(told["seconds"], 60);
    let summary = &told["runs"][0]["summary"];
    let (results, left) = (summary["results"].as_u64().expect("a count"), &summary["left"]);
    assert!((2_200..2_800).contains(&results) && left == 0, "{summary}");
}

#[test]
fn picture_has_a_panel_for_each_measure_and_a_line_a_policy() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("step.svg");
    let plot = path.to_str().expect("UTF-8");
    text(&simulate(&busy(&["--policy", "all", "--plot", plot])));
    let svg = std::fs::read_to_string(&path).expect("it was written");
    assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
    for title in
        ["consumer lag", "age of the oldest", "shards", "instances of faces", "instances of voice", "latency"]
    {
        assert!(svg.contains(title), "{title}");
    }
    for policy in ["fixed", "step", "target"] {
        assert!(svg.matches(&format!("<title>{policy}</title>")).count() >= 7, "{policy}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn what_cannot_be_simulated_is_refused_with_the_remedy() {
    for (args, words) in [
        (&["--load", "ramp"][..], "write step, burst, sine or the path"),
        (&["--load", "/nowhere.csv"], "/nowhere.csv"),
        (&["--load", "step", "--batch-cost", "noses=1ms+1ms"], "the steps are faces, voice"),
        (&["--load", "step", "--batch-cost", "faces=1ms"], "STEP=TIME+TIME"),
        (&["--load", "step", "--record-cost", "2"], "with its unit"),
        (&["--load", "step", "--record-cost", "0ms"], "at least"),
        (&["--load", "step", "--rate=-1"], "from 0 to 1000000"),
        (&["--load", "step", "--plot", "/nowhere/a.svg"], "--plot /nowhere/a.svg"),
    ] {
        let told = refusal(args);
        assert!(told.contains(words), "{args:?}: {told}");
    }
}

#[test]
fn the_help_tells_what_is_modelled_and_what_is_assumed() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_lockstep")).args(["simulate", "--help"]).output().expect("it runs");
    let help = text(&output);
    for words in ["MODEL", "LOAD", "OUTPUT", "EXAMPLES", "Unless said, a record costs a shard 10 µs"] {
        assert!(help.contains(words), "{words}");
    }
}
