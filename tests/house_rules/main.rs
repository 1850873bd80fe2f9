//! The house rules over the whole tree: permitted imports, circles of files, the length of files. The walls between crates,
//! clippy and cargo-deny hold the other rules.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

mod imports;
mod rules;
mod source;

use std::fs;
use std::path::Path;

use imports::{IN_CIRCLES, Imports};
use rules::{SHARED_NAMES, judge, manifest, names};
use source::File;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(place: &str) -> String {
    fs::read_to_string(root().join(place)).unwrap_or_else(|error| panic!("{place}: {error}"))
}

/// Returns the directories of the workspace's packages. `.` is the root package.
fn packages() -> Vec<String> {
    let workspace: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let members = workspace["workspace"]["members"].as_array().expect("members");
    members.iter().map(|member| member.as_str().expect("a name")).chain(["."]).map(str::to_owned).collect()
}

/// Returns every Rust file of the workspace: its path from the root and its text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for package in packages() {
        ["src", "tests", "benches"]
            .iter()
            .for_each(|place| collect(&root().join(&package).join(place), &mut found));
    }
    assert!(found.len() > 20, "the tree was not found at {}", root().display());
    found
}

fn collect(place: &Path, found: &mut Vec<(String, String)>) {
    let entries = fs::read_dir(place).into_iter().flatten();
    for path in entries.map(|entry| entry.expect("a readable directory").path()) {
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).expect("a path below the root").to_string_lossy();
            let name = name.trim_start_matches("./").replace('\\', "/");
            found.push((name, fs::read_to_string(&path).expect("UTF-8 source")));
        }
    }
}

fn files<'a>(sources: &'a [(impl AsRef<str>, impl AsRef<str>)]) -> Vec<File<'a>> {
    sources.iter().map(|(path, text)| File { path: path.as_ref(), text: text.as_ref() }).collect()
}

fn demand(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} house rules are broken:\n  {}", wrong.len(), wrong.join("\n  "));
}

#[test]
fn source_files_keep_the_house_rules() {
    demand(&files(&sources()).iter().flat_map(judge).collect::<Vec<_>>());
}

#[test]
fn source_files_import_in_no_circle_and_from_below() {
    let sources = sources();
    let imports = Imports::of(&files(&sources));
    demand(&imports.circles(IN_CIRCLES));
    demand(&imports.layers());
}

#[test]
fn type_names_have_one_meaning() {
    demand(&names(&files(&sources()), SHARED_NAMES));
}

#[test]
fn manifests_have_only_permitted_dependencies() {
    let wrong = |package: &String| manifest(package, &read(&format!("{package}/Cargo.toml")));
    demand(&packages().iter().flat_map(wrong).collect::<Vec<_>>());
}

#[test]
fn clippy_file_of_the_engine_repeats_that_of_the_root() {
    // Clippy reads the nearest file alone.
    let (root, engine) = (read("clippy.toml"), read("engine/clippy.toml"));
    let missing = root.lines().filter(|line| !line.starts_with('#') && !engine.contains(line));
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn judge_sees_a_long_file_and_a_missing_header() {
    let judge = |path, text: &str| judge(&File { path, text }).concat();
    let lines = |count| "//!\n".repeat(count);
    assert_eq!(judge("src/main.rs", &lines(400)), "");
    assert!(judge("src/main.rs", &lines(401)).contains("401 lines"));
    assert_eq!(judge("engine/src/align/aligner_tests.rs", &lines(800)), "");
    assert!(judge("engine/src/align/tests.rs", &lines(801)).contains("801 lines"));
    assert!(judge("src/main.rs", "fn main() {}").contains("//!"));
}

#[test]
fn manifest_sees_a_dependency_behind_a_wall() {
    for (directory, text, banned) in [
        ("engine", "[dependencies]\ntokio = \"1\"", "tokio"),
        ("actors", "[dev-dependencies]\nlockstep-torch.workspace = true", "lockstep-torch"),
        ("connectors/http", "[dependencies]\nrdkafka = \"1\"", "rdkafka"),
        (".", "[build-dependencies]\nrdkafka = \"1\"", "rdkafka"),
        ("a-new-crate", "[dependencies]\nlockstep-kafka.workspace = true", "lockstep-kafka"),
    ] {
        assert!(manifest(directory, text).concat().contains(banned), "{directory}: {text}");
    }
    let text = "[dependencies]\nrdkafka = \"1\"\nlockstep-engine.workspace = true";
    assert!(manifest("connectors/kafka", text).is_empty());
}

fn circle(sources: &[(&str, &str)], allowed: &str) -> String {
    Imports::of(&files(sources)).circles(allowed).join("\n")
}

#[test]
fn circles_sees_a_new_circle_in_any_crate() {
    for root in ["src", "actors/src", "connectors/kafka/src"] {
        let names = ["a", "b", "c"].map(|name| format!("{root}/{name}.rs"));
        let [a, b, c] = names.each_ref().map(String::as_str);
        let ring =
            [(a, "use crate::b::B;"), (b, "fn f() { super::c::g(); }"), (c, "use crate::{x, a::{A}};")];
        let wrong = circle(&ring, "");
        assert!(names.iter().all(|name| wrong.contains(&format!("{name}: imports"))), "{wrong}");
        assert_eq!(circle(&ring[..2], ""), "");
        assert_eq!(circle(&ring, &names.join("\n")), "");
        assert!(circle(&ring[..2], a).contains("a.rs: is in no circle"));
        assert!(circle(&ring[..1], b).contains("b.rs: is in no circle"), "it does not exist");
    }
}

#[test]
fn circles_sees_parents_and_children_but_no_tests() {
    let child = ("actors/src/batch/queue.rs", "use super::SLOTS;");
    let with = |text| circle(&[("actors/src/batch.rs", text), child], "");
    assert!(with("mod queue; use queue::Queue;").contains("queue.rs"));
    assert_eq!(with("mod queue;\n// queue::Queue\npub(in crate::queue) fn f() {}"), "");
    let tests = "pub(in crate::batch) fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::batch::SLOTS;\n}";
    assert_eq!(circle(&[("actors/src/batch.rs", "use crate::a::A;"), ("actors/src/a.rs", tests)], ""), "");
}

#[test]
fn layers_sees_an_import_from_the_side_or_above() {
    let wrong = |path: &str, text: &str| {
        let engine = ["engine/src/time.rs", "engine/src/align/mod.rs", "engine/src/batch/mod.rs"];
        let actors = ["actors/src/load.rs", "actors/src/align.rs", "actors/src/ingest.rs"];
        let others = engine.into_iter().chain(actors).map(|other| (other, ""));
        let all: Vec<(&str, &str)> = others.chain([(path, text)]).collect();
        Imports::of(&files(&all)).layers().join("\n")
    };
    assert!(wrong("engine/src/align/cut.rs", "use crate::batch::Cut;").contains("imports `batch`"));
    assert!(wrong("engine/src/align/cut.rs", "use super::super::batch;").contains("imports `batch`"));
    assert!(wrong("engine/src/media.rs", "use crate::{time, align::Law};").contains("imports `align`"));
    assert_eq!(wrong("engine/src/batch/cut.rs", "use crate::{align::Bundle, time::T}; use super::Cut;"), "");
    assert_eq!(wrong("engine/src/lib.rs", "pub use batch::Cut;"), "");
    assert!(wrong("actors/src/ingest/shards.rs", "fn f() { crate::align::g() }").contains("imports `align`"));
    assert!(wrong("actors/src/mailbox.rs", "use crate::{load, ingest::A};").contains("imports `ingest`"));
    assert_eq!(wrong("actors/src/ingest/shards.rs", "use crate::ingest::Intake; use crate::load::A;"), "");
    assert_eq!(wrong("actors/src/run/start.rs", "use crate::{align, ingest};"), "");
}

#[test]
fn names_sees_a_second_type_of_a_name() {
    let names = |texts: [&str; 2], allowed| {
        names(&files(&[("src/a.rs", texts[0]), ("engine/src/b.rs", texts[1])]), allowed).concat()
    };
    let twice = ["pub struct Plan;", "mod a {\n    pub(crate) trait Plan {}\n}"];
    assert!(names(twice, "").contains("Plan: names types in src/a.rs, engine/src/b.rs"));
    assert!(names(twice, "Plan").contains("Plan: names types"), "a reason is demanded");
    assert_eq!(names(twice, "Plan: a reason"), "");
    let in_test = "#[cfg(test)]\nmod tests {\nstruct Plan;\n}";
    for other in ["// struct Plan", "impl A for B {\n    type Plan = C;\n}", in_test] {
        assert_eq!(names(["enum Plan {}", other], ""), "", "{other}");
        assert!(names(["enum Plan {}", other], "Plan: a reason").contains("remove it from names.txt"));
    }
}

#[test]
fn paths_expands_groups() {
    let text = "use a::{b, c::{d, e as f}, g::*}; use h; let x = i::j(k); struct L { m: n::O }";
    let paths = File { path: "src/a.rs", text }.paths();
    assert_eq!(paths, ["a::b", "a::c::d", "a::c::e", "a::g::*", "h", "i::j", "n::O"]);
}
