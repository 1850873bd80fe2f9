//! The rules for single files and manifests. Each returns complaints: the place, the fault and the remedy.

use crate::source::{code_only, paths};

/// The modules of the engine in the order of imports, after the foundations. A module may import those before it.
const STAGES: [&str; 11] = [
    "supervision",
    "sharding",
    "scaling",
    "ingest",
    "align",
    "batch",
    "preprocess",
    "infer",
    "publish",
    "pipeline",
    "telemetry",
];

/// The most lines of a file of code, and of a test.
const LINES: usize = 400;
const LINES_OF_A_TEST: usize = 800;

/// The modules that the engine's code may not name, each with the remedy.
const NOT_IN_ENGINE: [(&str, &str); 6] = [
    ("std::thread", "start threads in `actors`"),
    ("std::net", "use the network in `connectors`"),
    ("std::fs", "let the caller read the file and pass its content"),
    ("std::process", "let the caller run the program"),
    ("std::time::Instant", "take `now: Timestamp` as an argument"),
    ("std::time::SystemTime", "take `now: Timestamp` as an argument"),
];

/// A source file: its path from the checkout's root, with `/`, and its text.
pub(crate) struct File<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
}

impl File<'_> {
    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or(self.path);
        name.ends_with("tests.rs")
            || self.path.split('/').any(|part| part == "tests" || part == "benches" || part == "testing")
    }
}

/// Returns the complaints about one source file.
pub(crate) fn judge(file: &File<'_>) -> Vec<String> {
    let named = paths(&code_only(file.text));
    let mut wrong = Vec::new();
    wrong.extend(pure_engine(file, &named));
    wrong.extend(order_of_stages(file, &named));
    wrong.extend(length(file));
    wrong.extend(header(file));
    wrong
}

/// Returns true if `path` is `start` or lies below it.
fn names(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn pure_engine(file: &File<'_>, named: &[String]) -> Vec<String> {
    // Benchmarks measure time, and tests read golden files.
    if !file.path.starts_with("engine/src/") || file.is_test() {
        return Vec::new();
    }
    let banned = NOT_IN_ENGINE.iter().filter(|(name, _)| {
        // The foundation that defines `Timestamp` converts from the system's time.
        !(file.path == "engine/src/time.rs" && name.starts_with("std::time"))
    });
    banned
        .filter(|(name, _)| named.iter().any(|path| names(path, name)))
        .map(|(name, remedy)| format!("{}: names `{name}`, but the engine is pure: {remedy}", file.path))
        .collect()
}

fn order_of_stages(file: &File<'_>, named: &[String]) -> Vec<String> {
    let Some(inside) = file.path.strip_prefix("engine/src/") else { return Vec::new() };
    if inside == "lib.rs" {
        return Vec::new();
    }
    let modules: Vec<&str> =
        inside.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").collect();
    let place = |stage: &str| STAGES.iter().position(|known| *known == stage);
    let own = modules.first().and_then(|first| place(first));
    let mut wrong = Vec::new();
    for path in named {
        let supers = path.split("::").take_while(|part| *part == "super").count();
        let parts: Vec<&str> = path.split("::").collect();
        let target = if parts.first() == Some(&"crate") {
            parts.get(1)
        } else if supers > 0 && supers == modules.len() {
            parts.get(supers)
        } else {
            None
        };
        let Some((module, theirs)) = target.and_then(|module| Some((module, place(module)?))) else {
            continue;
        };
        if own.is_none_or(|own| own < theirs) {
            wrong.push(format!(
                "{}: imports `{module}`, a later stage; the order is foundations, {}: move the shared type to the earlier one",
                file.path,
                STAGES.join(", ")
            ));
        }
    }
    wrong.dedup();
    wrong
}

fn length(file: &File<'_>) -> Option<String> {
    let lines = file.text.lines().count();
    let limit = if file.is_test() { LINES_OF_A_TEST } else { LINES };
    (lines > limit).then(|| {
        format!("{}: has {lines} lines, more than {limit}; split it where its subject changes", file.path)
    })
}

fn header(file: &File<'_>) -> Option<String> {
    let missing = !file.is_test() && !file.text.starts_with("//!");
    missing.then(|| format!("{}: begins without `//!`; describe the file in a sentence", file.path))
}

/// The crates with walls around them, and the only packages that may depend on each. `.` is the root package.
const WALLS: [(&str, &[&str]); 20] = [
    ("lockstep", &[]),
    ("lockstep-bench", &["."]),
    ("lockstep-assemble", &["bench", "."]),
    ("lockstep-settings", &["bench", "."]),
    ("lockstep-actors", &["assemble", "bench", "."]),
    ("lockstep-torch", &["assemble", "bench"]),
    ("lockstep-builtin", &["assemble", "."]),
    ("lockstep-backend", &["backends/torch", "backends/builtin", "actors", "assemble", "bench", "."]),
    ("lockstep-http", &["assemble", "bench", "."]),
    ("lockstep-kafka", &["settings", "assemble", "bench", "."]),
    ("lockstep-telemetry", &["connectors/http", "assemble", "bench"]),
    ("rdkafka", &["connectors/kafka"]),
    ("actix-web", &["connectors/http"]),
    ("metrics-exporter-prometheus", &["connectors/telemetry"]),
    ("tch", &["backends/torch", "bench"]),
    ("libloading", &["backends/torch", "bench"]),
    ("actix", &["actors"]),
    ("tokio", &["actors"]),
    ("rayon", &["actors"]),
    ("crossbeam-channel", &["actors", "connectors/kafka", "bench", "."]),
];

/// Returns the complaints about dependencies that a manifest may not have. `.` is the root package.
pub(crate) fn manifest(directory: &str, text: &str) -> Vec<String> {
    let parsed: toml::Table = match text.parse() {
        Ok(parsed) => parsed,
        Err(error) => return vec![format!("{directory}/Cargo.toml: {error}")],
    };
    let mut wrong = Vec::new();
    for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
        let Some(table) = parsed.get(kind).and_then(|value| value.as_table()) else { continue };
        let behind_a_wall = |name: &&String| {
            WALLS.iter().any(|(wall, within)| *wall == name.as_str() && !within.contains(&directory))
        };
        for name in table.keys().filter(behind_a_wall) {
            wrong.push(format!(
                "{directory}/Cargo.toml: {kind} has `{name}`, which `{directory}` may not import; see \"Who may import whom\" in ARCHITECTURE.md"
            ));
        }
    }
    wrong
}
