//! `lockstep top` and `lockstep scale` as their users have them, over a process that is played by this test.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use serde_json::{Value, json};

fn lockstep() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lockstep"))
}

fn top(args: &[&str]) -> Output {
    lockstep().arg("top").args(args).output().expect("it runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A process that answers a number of looks with the given status, and is gone then.
fn played(looks: u32, status: impl Fn(u32) -> Value + Send + 'static) -> (String, JoinHandle<()>) {
    answering(looks, move |look| format!("HTTP/1.0 200 OK\r\n\r\n{}", status(look)))
}

/// A process that gives a number of answers, and is gone then.
fn answering(looks: u32, answer: impl Fn(u32) -> String + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let process = std::thread::spawn(move || {
        for look in 0..looks {
            let (stream, _) = listener.accept().expect("a look");
            let mut stream = BufReader::new(stream);
            // Read the whole request: unread bytes at the close would reset the connection before the answer.
            let mut line = String::new();
            stream.read_line(&mut line).expect("a request");
            assert_eq!(line, "GET /v1/status HTTP/1.0\r\n");
            while !line.trim().is_empty() {
                line.clear();
                stream.read_line(&mut line).expect("a request");
            }
            let mut stream = stream.into_inner();
            // The client may have been stopped meanwhile.
            let _ = stream.write_all(answer(look).as_bytes());
        }
    });
    (address, process)
}

/// The status of a process under load.
fn busy(look: u32) -> Value {
    let (results, lag) = (100 * look, 1_000 - 10 * look.min(90));
    json!({
        "version": 1,
        "pipeline": "talking-face",
        "load": { "arrival_records_per_second": 120, "desired_replicas": 0.75 },
        "inputs": { "video": { "lag_records": lag, "oldest_event_age_seconds": 1.5 } },
        "shards": { "scaling": { "current": 2, "wanted": 3 } },
        "steps": {
            "faces": { "scaling": { "current": 1, "wanted": 1 } },
            "voice": { "scaling": { "current": 1, "wanted": 2 } },
        },
        "results": {
            "acknowledged": results,
            "latency_seconds": {
                "total": {
                    "count": results,
                    "sum": look,
                    "buckets": [{ "up_to": 0.05, "count": results }, { "up_to": null, "count": 0 }],
                },
            },
        },
    })
}

fn svg(path: &Path) -> String {
    let svg = fs::read_to_string(path).expect("it was written");
    assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    svg
}

/// The titles of the panels.
fn panels(svg: &str) -> BTreeSet<&str> {
    let titles = svg.lines().filter(|line| line.contains(r#"font-size="12" font-weight="600""#));
    let texts = titles.filter_map(|line| line.split_once('>')?.1.split_once('<'));
    texts.map(|(text, _)| text.trim_end_matches(", dashed: wanted")).collect()
}

#[test]
fn top_shows_rates_from_two_looks() {
    let (address, process) = played(2, |look| {
        let records = 100 + 200 * look;
        json!({
            "version": 1,
            "pipeline": "talking-face",
            "inputs": { "video": { "records": records } },
            "load": { "desired_replicas": 2.5 },
        })
    });
    let output = top(&[&address, "--once", "--every", "200ms"]);
    assert!(output.status.success(), "{}", told(&output));
    process.join().expect("both looks were answered");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(
        text.contains("2.50 asked for") && text.contains("/s taken in") && !text.contains("- taken in"),
        "{text}"
    );
}

#[test]
fn top_names_a_process_that_does_not_answer() {
    let (address, process) = played(0, busy);
    process.join().expect("it is gone");
    let output = top(&[&address, "--once"]);
    let told_of = told(&output);
    assert!(
        !output.status.success() && told_of.contains(&address) && told_of.contains("cannot be asked"),
        "{told_of}"
    );
    assert!(told(&top(&["--every", "1"])).contains("100ms to 1h"));
    assert!(told(&top(&["--once", "--plot", "a.svg"])).contains("cannot be used with"));
}

#[test]
fn top_and_scale_name_the_remedy_for_an_older_process() {
    let not_found = |_| "HTTP/1.0 404 Not Found\r\n\r\nnot here; there are /metrics and /health\n".to_owned();
    for command in ["top", "scale"] {
        let (address, process) = answering(1, not_found);
        let args: &[&str] = if command == "top" { &["--once"] } else { &[] };
        let output = lockstep().arg(command).arg(&address).args(args).output().expect("it runs");
        process.join().expect("it was asked");
        let error = told(&output);
        assert!(
            !output.status.success() && error.contains(&format!("http://{address}/v1/status")),
            "{error}"
        );
        assert!(error.contains("update a process that is older than this command"), "{error}");
    }
}

#[test]
fn scale_shows_the_numbers_of_the_status() {
    let (address, process) = played(1, busy);
    let output = lockstep().args(["scale", &address, "--json"]).output().expect("it runs");
    process.join().expect("it was asked");
    let counts: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(counts["shards"], json!({ "current": 2, "desired": null, "manual_override": false }));
    assert_eq!(counts["instances"]["voice"]["current"], 1);
}

#[test]
fn top_draws_a_process_that_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("load.svg");
    let (address, process) = played(5, busy);
    let output = top(&[&address, "--every", "100ms", "--plot", path.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{}", told(&output));
    process.join().expect("all looks were answered");
    assert!(
        told(&output).lines().last().is_some_and(|last| last.ends_with("it is gone")),
        "{}",
        told(&output)
    );
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!text.contains('\u{1b}'), "{text}");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 1 + 5, "{text}");
    assert_eq!(lines[0][..3], ["s", "arrive/s", "results/s"]);
    assert_eq!(lines[1][1..], ["120.0", "-", "1000", "1.5", "2", "3", "-", "0.75"], "{text}");
    assert_eq!((lines[5][3], lines[5][7]), ("960", "0.050"), "{text}");
    let svg = svg(&path);
    assert!(svg.contains(&address) && svg.contains("shards, dashed: wanted"), "{svg}");
}

#[test]
fn top_plot_has_the_panels_of_a_simulation() {
    let folder = tempfile::tempdir().expect("a folder");
    let (live, simulated) = (folder.path().join("live.svg"), folder.path().join("simulated.svg"));
    let (address, _process) = played(2, busy);
    let output = top(&[&address, "--every", "100ms", "--plot", live.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{}", told(&output));
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/talking-face.toml");
    let mut simulate = lockstep();
    simulate
        .arg("simulate")
        .arg(config)
        .args(["--load", "step", "--seconds", "20", "--plot"])
        .arg(&simulated);
    let output = simulate.output().expect("it runs");
    assert!(output.status.success(), "{}", told(&output));
    let (live, simulated) = (svg(&live), svg(&simulated));
    assert!(panels(&simulated).len() >= 9, "{:?}", panels(&simulated));
    assert_eq!(panels(&live), panels(&simulated));
}

#[test]
fn top_draws_after_its_time_and_on_interrupt() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("load.svg");
    let plot = path.to_str().expect("UTF-8");
    let (address, _process) = played(u32::MAX, busy);
    let output = top(&[&address, "--every", "100ms", "--seconds", "1", "--plot", plot]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(svg(&path).contains(" s from "));

    fs::remove_file(&path).expect("it is there");
    let mut command = lockstep();
    command.args(["top", &address, "--every", "100ms", "--plot", plot]).stdout(Stdio::piped());
    let mut running = command.spawn().expect("it runs");
    let mut lines = BufReader::new(running.stdout.take().expect("a pipe")).lines();
    // The head, and two looks.
    for _ in 0..3 {
        lines.next().expect("a line").expect("UTF-8");
    }
    let id = running.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("it runs").success());
    lines.for_each(drop);
    assert!(running.wait().expect("it ends").success());
    svg(&path);
}

#[test]
fn top_refuses_a_path_before_the_first_look() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let output = top(&[&address, "--plot", "/nowhere/a.svg"]);
    assert!(!output.status.success() && told(&output).contains("--plot /nowhere/a.svg"), "{}", told(&output));
    listener.set_nonblocking(true).expect("it does");
    assert!(listener.accept().is_err(), "nobody has asked");
}

#[test]
fn top_draws_nothing_of_a_process_that_never_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("load.svg");
    let (address, process) = played(0, busy);
    process.join().expect("it is gone");
    let output =
        top(&[&address, "--every", "500ms", "--seconds", "1", "--plot", path.to_str().expect("UTF-8")]);
    assert!(
        !output.status.success() && told(&output).contains("has not answered") && !path.exists(),
        "{}",
        told(&output)
    );
}
