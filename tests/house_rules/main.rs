//! The house rules over the whole tree: permitted imports, circles of files, the length of files. The walls between crates,
//! clippy and cargo-deny hold the other rules.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

mod circles;
mod names;
mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use circles::{circles, in_circles, stages_of_actors};
use names::{allowed, names};
use rules::{File, judge, manifest};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every Rust file of the workspace: its path from the root and its text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for place in ["src", "tests", "benches"].into_iter().map(str::to_owned).chain(members()) {
        collect(&root().join(place), &mut found);
    }
    assert!(found.len() > 20, "the tree was not found at {}", root().display());
    found
}

fn collect(place: &Path, found: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(place) else { return };
    let mut entries: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a readable directory").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path
                .strip_prefix(root())
                .expect("a path below the root")
                .to_string_lossy()
                .replace('\\', "/");
            found.push((name, fs::read_to_string(&path).expect("UTF-8 source")));
        }
    }
}

/// Returns the directories of the workspace's crates, without the root.
fn members() -> Vec<String> {
    let workspace: toml::Table =
        fs::read_to_string(root().join("Cargo.toml")).expect("the manifest").parse().expect("TOML");
    let members = workspace["workspace"]["members"].as_array().expect("members");
    members.iter().map(|member| member.as_str().expect("a name").to_owned()).collect()
}

fn demand(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} house rules are broken:\n  {}", wrong.len(), wrong.join("\n  "));
}

#[test]
fn source_files_keep_the_house_rules() {
    let sources = sources();
    let wrong: Vec<String> = sources.iter().flat_map(|(path, text)| judge(&File { path, text })).collect();
    demand(&wrong);
}

#[test]
fn source_files_import_in_no_circle_and_stages_no_other_stage() {
    let sources = sources();
    let files: Vec<File<'_>> = sources.iter().map(|(path, text)| File { path, text }).collect();
    let mut wrong = circles(&files, &in_circles());
    wrong.extend(files.iter().flat_map(stages_of_actors));
    demand(&wrong);
}

#[test]
fn type_names_have_one_meaning() {
    let sources = sources();
    let files: Vec<File<'_>> = sources.iter().map(|(path, text)| File { path, text }).collect();
    demand(&names(&files, &allowed()));
}

#[test]
fn manifests_have_only_permitted_dependencies() {
    let members = members().into_iter().chain([".".to_owned()]);
    let wrong: Vec<String> = members
        .flat_map(|member| {
            let text = fs::read_to_string(root().join(&member).join("Cargo.toml")).expect("a manifest");
            manifest(&member, &text)
        })
        .collect();
    demand(&wrong);
}

/// Returns the one complaint about a file.
fn complaint(path: &str, text: &str) -> String {
    let wrong = judge(&File { path, text: &format!("//! A file.\n{text}") });
    assert_eq!(wrong.len(), 1, "{path}: {text}: {wrong:?}");
    wrong.concat()
}

fn assert_fine(path: &str, text: &str) {
    let wrong = judge(&File { path, text: &format!("//! A file.\n{text}") });
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn judge_sees_an_impure_engine() {
    assert!(complaint("engine/src/batch/mod.rs", "use std::{fmt, thread};").contains("pure"));
    assert!(complaint("engine/src/batch/mod.rs", "use std::time::{Duration, Instant};").contains("now"));
    assert!(complaint("engine/src/batch/mod.rs", "fn f() { std::time::SystemTime::now(); }").contains("now"));
    assert_fine("engine/src/time.rs", "use std::time::SystemTime;");
    assert_fine("engine/src/batch/mod.rs", "use std::time::Duration;");
}

#[test]
fn judge_sees_an_import_of_a_later_stage() {
    assert!(complaint("engine/src/align/mod.rs", "use crate::batch::Cut;").contains("later stage"));
    assert!(complaint("engine/src/time.rs", "use crate::{position, scaling::Law};").contains("later stage"));
    assert!(
        complaint("engine/src/align/input_buffer.rs", "use super::super::infer;").contains("later stage")
    );
    assert!(complaint("engine/src/align/mod.rs", "use super::pipeline::Limits;").contains("later stage"));
    assert_fine("engine/src/batch/mod.rs", "use crate::{align::Bundle, sample::Sample}; use super::time;");
    assert_fine("engine/src/align/input_buffer.rs", "use super::infer;");
}

#[test]
fn judge_sees_a_long_file() {
    assert!(complaint("src/main.rs", &"\n".repeat(400)).contains("401 lines"));
    assert!(complaint("engine/src/align/tests.rs", &"\n".repeat(800)).contains("801 lines"));
    assert_fine("src/main.rs", &"\n".repeat(399));
    assert_fine("engine/src/align/aligner_tests.rs", &"\n".repeat(799));
}

#[test]
fn judge_sees_a_file_without_a_header() {
    let wrong = judge(&File { path: "src/main.rs", text: "fn main() {}" });
    assert!(wrong.concat().contains("//!"), "{wrong:?}");
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

/// Returns the complaints about circles in a crate of these files.
fn circle(files: &[(&str, &str)], allowed: &[&str]) -> String {
    let files: Vec<File<'_>> = files.iter().map(|(path, text)| File { path, text }).collect();
    circles(&files, allowed).join("\n")
}

#[test]
fn circles_sees_a_new_circle_in_any_crate() {
    for root in ["src", "actors/src", "connectors/kafka/src"] {
        let names = ["a", "b", "c"].map(|name| format!("{root}/{name}.rs"));
        let [a, b, c] = names.each_ref().map(String::as_str);
        let ring = [(a, "use crate::b::B;"), (b, "fn f() { super::c::g(); }"), (c, "use {crate::a};")];
        let wrong = circle(&ring, &[]);
        assert!(names.iter().all(|name| wrong.contains(&format!("{name}: imports"))), "{wrong}");
        assert_eq!(circle(&ring[..2], &[]), "");
        assert_eq!(circle(&ring, &[a, b, c]), "");
        assert!(circle(&ring[..2], &[a]).contains("a.rs: is in no circle any more"));
        assert!(circle(&ring[..1], &[b]).contains("b.rs: does not exist"));
    }
}

#[test]
fn circles_sees_parents_and_children_but_no_tests() {
    let child = ("actors/src/batch/queue.rs", "use super::SLOTS;");
    assert!(
        circle(&[("actors/src/batch.rs", "mod queue; use queue::Queue;"), child], &[]).contains("queue.rs")
    );
    assert_eq!(circle(&[("actors/src/batch.rs", "mod queue; // queue::Queue"), child], &[]), "");
    let tests = "pub(in crate::batch) fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::batch::SLOTS;\n}";
    assert_eq!(circle(&[("actors/src/batch.rs", "use crate::a::A;"), ("actors/src/a.rs", tests)], &[]), "");
}

#[test]
fn stages_of_actors_sees_an_import_of_another_stage() {
    let judge = |path, text| stages_of_actors(&File { path, text }).concat();
    assert!(judge("actors/src/ingest.rs", "use crate::align::Align;").contains("stage `align`"));
    assert!(judge("actors/src/batch/pool.rs", "use super::super::instance::Order;").contains("`instance`"));
    assert!(judge("actors/src/load.rs", "use crate::{mailbox, publish::Inbox};").contains("`publish`"));
    assert_eq!(judge("actors/src/ingest/shards.rs", "use crate::ingest::Intake; use crate::message::A;"), "");
    assert_eq!(judge("actors/src/run/start.rs", "use crate::{align, batch};"), "");
}

#[test]
fn names_sees_a_second_type_of_a_name() {
    let files = |texts: [&'static str; 2]| {
        let one = |(path, text)| File { path, text };
        [("src/a.rs", texts[0]), ("engine/src/b.rs", texts[1])].map(one)
    };
    let twice = files(["pub struct Plan;", "pub(crate) trait Plan {\n}"]);
    let wrong = names(&twice, &[]).concat();
    assert!(wrong.contains("Plan: names types in src/a.rs, engine/src/b.rs"), "{wrong}");
    assert!(names(&twice, &[("Plan", "")]).concat().contains("Plan"), "a reason is demanded");
    assert!(names(&twice, &[("Plan", "a reason")]).is_empty());
    let once = files(["enum Plan {}", "// struct Plan\nimpl A for B {\n    type Plan = C;\n}"]);
    assert!(names(&once, &[]).is_empty());
    assert!(names(&once, &[("Plan", "a reason")]).concat().contains("remove it from names.txt"));
    assert!(
        names(&files(["struct Plan;", "#[cfg(test)]\nmod tests {\n    struct Plan;\n}"]), &[]).is_empty()
    );
}
