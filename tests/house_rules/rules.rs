//! The rules. Each takes text and says what is wrong, where, and what would be right.

use std::collections::BTreeMap;

use crate::source::{code_only, paths};

/// The stages of the engine, in the order of the data, behind what all of them use. A stage may import those before it.
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

/// What a file of code may be long, what it may be with a reason (see [`LONG_FILES`]), and what a test may be.
const LINES: usize = 400;
const LINES_WITH_A_REASON: usize = 600;
const LINES_OF_A_TEST: usize = 800;

/// Files that are longer than [`LINES`], each with its reason. Try to cut a file in two before adding it here.
const LONG_FILES: [(&str, &str); 0] = [];

/// External crate, and where alone it may be named.
const HOMES: [(&str, &[&str]); 7] = [
    ("rdkafka", &["connectors/src/kafka"]),
    ("rdkafka_sys", &["connectors/src/kafka"]),
    ("actix", &["actors/src"]),
    ("actix_rt", &["actors/src", "connectors/src/http"]),
    ("actix_web", &["connectors/src/http"]),
    ("tch", &["backends/src", "backends/tests", "backends/benches"]),
    ("torch_sys", &["backends/src"]),
];

/// What the engine's code may not name, and what it should do instead.
const NOT_IN_ENGINE: [(&str, &str); 9] = [
    ("tokio", "a shell in `actors` or `connectors` does the waiting"),
    ("crossbeam_channel", "a shell in `actors` moves the data"),
    ("std::thread", "a shell in `actors` owns the threads"),
    ("std::net", "`connectors` speak to the outside world"),
    ("std::fs", "the caller reads the file and passes what it holds"),
    ("std::process", "the caller runs the program"),
    ("std::time::Instant", "take `now: Timestamp` as an argument"),
    ("std::time::SystemTime", "take `now: Timestamp` as an argument"),
    ("metrics_exporter_prometheus", "report through `telemetry`; `connectors` export"),
];

/// One source file: its path from the checkout's root, with `/`, and its text.
pub(crate) struct File<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
}

impl File<'_> {
    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or(self.path);
        name.ends_with("tests.rs")
            || self.path.split('/').any(|part| part == "tests" || part == "benches" || part == "testing")
    }
}

/// All that is wrong with one source file.
pub(crate) fn judge(file: &File<'_>) -> Vec<String> {
    let code = code_only(file.text);
    let named = paths(&code);
    let mut wrong = Vec::new();
    wrong.extend(homes(file, &named));
    wrong.extend(pure_engine(file, &named));
    wrong.extend(order_of_stages(file, &named));
    wrong.extend(siblings(file, &named));
    wrong.extend(length(file));
    wrong.extend(header(file));
    wrong.extend(banned_words(file, &code));
    wrong
}

/// Whether `path` is `start` or lies below it.
fn names(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn homes(file: &File<'_>, named: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, homes) in HOMES {
        let at_home = homes.iter().any(|home| {
            // A room is a directory, or one file with its name.
            file.path.starts_with(&format!("{home}/")) || file.path == format!("{home}.rs")
        });
        if !at_home && named.iter().any(|path| names(path, name)) {
            wrong.push(format!(
                "{}: names `{name}`, which stays in {}; move the code there, or speak to it through a trait of the engine",
                file.path,
                homes.join(" and ")
            ));
        }
    }
    wrong
}

fn pure_engine(file: &File<'_>, named: &[String]) -> Vec<String> {
    // Benchmarks measure, and tests of golden files read them.
    if !file.path.starts_with("engine/src/") || file.is_test() {
        return Vec::new();
    }
    let banned = NOT_IN_ENGINE.iter().filter(|(name, _)| {
        // The foundation that defines what a time is may convert from the system's.
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
        let Some((room, theirs)) = target.and_then(|room| Some((room, place(room)?))) else { continue };
        if own.is_none_or(|own| own < theirs) {
            wrong.push(format!(
                "{}: imports `{room}`, a later stage; the order is foundations, {}: move what both need to the earlier one",
                file.path,
                STAGES.join(", ")
            ));
        }
    }
    wrong.dedup();
    wrong
}

fn siblings(file: &File<'_>, named: &[String]) -> Vec<String> {
    let Some((own, _)) = file.path.split_once('/') else { return Vec::new() };
    if !["engine", "backends", "actors", "connectors"].contains(&own) {
        return Vec::new();
    }
    ["lockstep_backends", "lockstep_actors", "lockstep_connectors", "lockstep"]
        .iter()
        .filter(|name| **name != format!("lockstep_{own}"))
        .filter(|name| named.iter().any(|path| names(path, name)))
        .map(|name| {
            format!("{}: names `{name}`; only `src` composes: put a trait into the engine and let `src` join them", file.path)
        })
        .collect()
}

fn length(file: &File<'_>) -> Option<String> {
    let lines = file.text.lines().count();
    let reason = LONG_FILES.iter().any(|(path, _)| *path == file.path);
    let limit = match (file.is_test(), reason) {
        (true, _) => LINES_OF_A_TEST,
        (false, true) => LINES_WITH_A_REASON,
        (false, false) => LINES,
    };
    (lines > limit).then(|| {
        format!(
            "{}: has {lines} lines, and {limit} is the limit; cut it where its subject changes",
            file.path
        )
    })
}

fn header(file: &File<'_>) -> Option<String> {
    let missing = !file.is_test() && !file.text.starts_with("//!");
    missing.then(|| format!("{}: begins without `//!`; say in a sentence what is in it", file.path))
}

fn banned_words(file: &File<'_>, code: &str) -> Vec<String> {
    const WORDS: [(&str, &str); 3] = [
        ("do_send", "it ignores the mailbox's capacity; send through a link with credits"),
        ("todo!", "finish it, or leave it out and say so in ARCHITECTURE.md"),
        ("unimplemented!", "finish it, or leave it out and say so in ARCHITECTURE.md"),
    ];
    let found = WORDS.iter().filter(|(word, _)| {
        code.match_indices(word).any(|(at, _)| {
            !code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && !code[at + word.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        })
    });
    found.map(|(word, remedy)| format!("{}: uses `{word}`: {remedy}", file.path)).collect()
}

/// bincode is unmaintained: one file names it, so that one file has to change.
pub(crate) fn one_file_of_bincode(files: &[File<'_>]) -> Vec<String> {
    let users: Vec<&str> = files
        .iter()
        .filter(|file| paths(&code_only(file.text)).iter().any(|path| names(path, "bincode")))
        .map(|file| file.path)
        .collect();
    if users.len() > 1 {
        vec![format!("bincode is named in {}; keep it in one file, behind functions", users.join(", "))]
    } else {
        Vec::new()
    }
}

/// What a manifest may not depend on. Keys are the crates' directories; `.` is the root package.
pub(crate) fn manifest(directory: &str, text: &str) -> Vec<String> {
    let tables: BTreeMap<&str, &[&str]> = BTreeMap::from([
        (
            "engine",
            &[
                "lockstep",
                "lockstep-backends",
                "lockstep-actors",
                "lockstep-connectors",
                "tokio",
                "actix",
                "actix-rt",
                "actix-web",
                "rdkafka",
                "tch",
                "crossbeam-channel",
                "rayon",
                "libloading",
            ][..],
        ),
        (
            "backends",
            &["lockstep", "lockstep-actors", "lockstep-connectors", "rdkafka", "actix", "actix-web"],
        ),
        ("actors", &["lockstep", "lockstep-backends", "lockstep-connectors", "rdkafka", "tch", "actix-web"]),
        ("connectors", &["lockstep", "lockstep-backends", "lockstep-actors", "tch", "actix"]),
        (".", &["rdkafka", "tch", "actix", "actix-web", "bincode"]),
    ]);
    let Some(banned) = tables.get(directory) else {
        return vec![format!(
            "{directory}/Cargo.toml: a crate that the house rules do not know; say what it may import"
        )];
    };
    let parsed: toml::Table = match text.parse() {
        Ok(parsed) => parsed,
        Err(error) => return vec![format!("{directory}/Cargo.toml: {error}")],
    };
    let mut wrong = Vec::new();
    for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
        let Some(table) = parsed.get(kind).and_then(|value| value.as_table()) else { continue };
        for name in table.keys().filter(|name| banned.contains(&name.as_str())) {
            wrong.push(format!(
                "{directory}/Cargo.toml: {kind} has `{name}`, which `{directory}` may not import; see \"Who may import whom\" in ARCHITECTURE.md"
            ));
        }
    }
    wrong
}
