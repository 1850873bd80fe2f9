//! The house rules, held over the whole tree: who may import whom, how long a file may be, what may not be used.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use rules::{File, judge, manifest, one_file_of_bincode};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the workspace: path from the root, and text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for place in ["src", "tests", "benches", "engine", "backends", "actors", "connectors"] {
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

fn demand(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} house rules are broken:\n  {}", wrong.len(), wrong.join("\n  "));
}

#[test]
fn every_source_file_keeps_the_house_rules() {
    let sources = sources();
    let wrong: Vec<String> = sources.iter().flat_map(|(path, text)| judge(&File { path, text })).collect();
    demand(&wrong);
}

#[test]
fn bincode_lives_in_one_file() {
    let sources = sources();
    let files: Vec<File<'_>> = sources.iter().map(|(path, text)| File { path, text }).collect();
    demand(&one_file_of_bincode(&files));
}

#[test]
fn every_manifest_keeps_to_what_its_crate_may_import() {
    let workspace: toml::Table =
        fs::read_to_string(root().join("Cargo.toml")).expect("the manifest").parse().expect("TOML");
    let members = workspace["workspace"]["members"].as_array().expect("members");
    let members = members.iter().map(|member| member.as_str().expect("a name")).chain(["."]);
    let wrong: Vec<String> = members
        .flat_map(|member| {
            let text = fs::read_to_string(root().join(member).join("Cargo.toml")).expect("a manifest");
            manifest(member, &text)
        })
        .collect();
    demand(&wrong);
}

/// The one complaint about a file.
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
fn a_crate_outside_its_home_is_seen() {
    assert!(complaint("src/main.rs", "use rdkafka::ClientConfig;").contains("connectors/src/kafka"));
    assert!(complaint("connectors/src/http/mod.rs", "fn f(a: rdkafka::Message) {}").contains("rdkafka"));
    assert!(complaint("connectors/src/kafka/poll.rs", "use actix_web::web;").contains("connectors/src/http"));
    assert!(complaint("actors/src/infer.rs", "use {tch::Tensor, std::fmt};").contains("backends"));
    assert_fine("connectors/src/kafka/poll.rs", "use rdkafka::{ClientConfig, Message as _};");
    assert_fine("backends/src/torch/mod.rs", "use tch;");
    assert_fine(
        "src/main.rs",
        "// use rdkafka::ClientConfig;\nconst A: &str = \"rdkafka::x\"; fn rdkafka() {}",
    );
}

#[test]
fn an_impure_engine_is_seen() {
    assert!(complaint("engine/src/batch/mod.rs", "use std::{fmt, thread};").contains("pure"));
    assert!(complaint("engine/src/batch/mod.rs", "use std::time::{Duration, Instant};").contains("now"));
    assert!(complaint("engine/src/batch/mod.rs", "fn f() { std::time::SystemTime::now(); }").contains("now"));
    assert!(complaint("engine/src/publish/sink.rs", "use tokio::sync::mpsc;").contains("shell"));
    assert_fine("engine/src/time.rs", "use std::time::SystemTime;");
    assert_fine("engine/src/batch/mod.rs", "use std::time::Duration;");
}

#[test]
fn a_stage_that_imports_a_later_one_is_seen() {
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
fn crates_that_import_one_another_are_seen() {
    assert!(complaint("actors/src/lib.rs", "use lockstep_backends::Torch;").contains("composes"));
    assert!(complaint("engine/src/lib.rs", "pub use lockstep_connectors::kafka;").contains("composes"));
    assert_fine("actors/src/lib.rs", "use lockstep_engine::time;");
    assert_fine("actors/tests/links.rs", "use lockstep_actors::mailbox;");
    assert_fine("src/main.rs", "use lockstep_actors::mailbox;");
}

#[test]
fn a_long_file_is_seen() {
    assert!(complaint("src/main.rs", &"\n".repeat(400)).contains("401 lines"));
    assert!(complaint("engine/src/align/tests.rs", &"\n".repeat(800)).contains("801 lines"));
    assert_fine("src/main.rs", &"\n".repeat(399));
    assert_fine("engine/src/align/aligner_tests.rs", &"\n".repeat(799));
}

#[test]
fn a_file_that_does_not_say_what_it_is_is_seen() {
    let wrong = judge(&File { path: "src/main.rs", text: "fn main() {}" });
    assert!(wrong.concat().contains("//!"), "{wrong:?}");
}

#[test]
fn a_banned_word_is_seen() {
    assert!(complaint("actors/src/mailbox.rs", "fn f() { a.do_send(b); }").contains("credits"));
    assert!(complaint("src/main.rs", "fn f() { todo!() }").contains("finish"));
    assert!(complaint("src/main.rs", "fn f() { unimplemented!(\"x\") }").contains("finish"));
    assert_fine("src/main.rs", "fn try_do_send() {} // todo!");
}

#[test]
fn a_second_file_of_bincode_is_seen() {
    let one = File { path: "connectors/src/wire.rs", text: "use bincode::config;" };
    let two = File { path: "src/main.rs", text: "fn f() { bincode::encode(); }" };
    assert!(one_file_of_bincode(std::slice::from_ref(&one)).is_empty());
    assert!(one_file_of_bincode(&[one, two]).concat().contains("src/main.rs"));
}

#[test]
fn a_manifest_with_a_banned_dependency_is_seen() {
    assert!(manifest("engine", "[dependencies]\ntokio = \"1\"").concat().contains("tokio"));
    assert!(
        manifest("actors", "[dev-dependencies]\nlockstep-backends.workspace = true")
            .concat()
            .contains("backends")
    );
    assert!(manifest(".", "[build-dependencies]\nrdkafka = \"1\"").concat().contains("rdkafka"));
    assert!(manifest("extras", "").concat().contains("do not know"));
    assert!(
        manifest("connectors", "[dependencies]\nrdkafka = \"1\"\nlockstep-engine.workspace = true")
            .is_empty()
    );
}
