//! Circles of imports between the files of a crate, and imports between the stages of `actors`.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::File;
use crate::source::{code, paths};

/// Files that still import one another in a circle, one a line. The list may only shrink: remove a file once its circle is gone.
const IN_CIRCLES: &str = include_str!("circles.txt");

/// Returns the files that may still be in a circle.
pub(crate) fn in_circles() -> Vec<&'static str> {
    IN_CIRCLES.lines().collect()
}

/// The stages of `actors`. A stage imports no other stage, and the shared files import none.
const STAGES: [&str; 7] = ["ingest", "align", "batch", "prepare", "instance", "publish", "autoscaler"];

/// The files of `actors` that assemble the stages and so may import them.
const ASSEMBLES: [&str; 3] = ["run", "supervise", "lib"];

/// The modules of one crate: path from the crate's root, and file.
type Modules<'a> = BTreeMap<Vec<&'a str>, &'a str>;

/// Splits a path into the root of its crate (`engine/src`) and its module path.
fn module(path: &str) -> Option<(&str, Vec<&str>)> {
    let (root, inside) = match path.split_once("/src/") {
        Some((member, inside)) => (&path[..member.len() + "/src".len()], inside),
        None => ("src", path.strip_prefix("src/")?),
    };
    let mut names: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
    if names.last() == Some(&"mod") || matches!(names[..], ["lib" | "main"]) {
        names.pop();
    }
    Some((root, names))
}

/// Returns the file that a path names, seen from a module; none outside of the crate and for the module itself.
fn target<'a>(path: &str, own: &[&'a str], modules: &Modules<'a>) -> Option<&'a str> {
    let parts: Vec<&str> = path.split("::").collect();
    let supers = parts.iter().take_while(|part| **part == "super").count();
    let (mut place, rest) = match parts.first().copied() {
        Some("crate") => (Vec::new(), &parts[1..]),
        Some("super") => (own[..own.len().checked_sub(supers)?].to_vec(), &parts[supers..]),
        Some("self") => (own.to_vec(), &parts[1..]),
        Some(first) => {
            let (child, _) = modules.get_key_value(&[own, &[first]].concat())?;
            (child.clone(), &parts[1..])
        }
        None => return None,
    };
    for part in rest {
        let Some((child, _)) = modules.get_key_value(&[&place[..], &[*part]].concat()) else { break };
        place = child.clone();
    }
    modules.get(&place).copied().filter(|_| place != own)
}

/// Returns the files that each file imports, within its crate.
fn imports<'a>(files: &[File<'a>]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut crates = BTreeMap::<&str, Modules<'a>>::new();
    let code_files = || files.iter().filter(|file| !file.is_test());
    for file in code_files() {
        if let Some((root, names)) = module(file.path) {
            crates.entry(root).or_default().insert(names, file.path);
        }
    }
    let mut found = BTreeMap::new();
    for file in code_files() {
        let Some((root, own)) = module(file.path) else { continue };
        let Some(modules) = crates.get(root) else { continue };
        let targets = paths(&code(file.text)).iter().filter_map(|path| target(path, &own, modules)).collect();
        found.insert(file.path, targets);
    }
    found
}

/// Returns the files that `from` imports, also through others.
fn reached<'a>(from: &'a str, imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(file) = left.pop() {
        for next in imports.get(file).into_iter().flatten() {
            if seen.insert(*next) {
                left.push(next);
            }
        }
    }
    seen
}

/// Returns the complaints about circles, given the files that may still be in one.
pub(crate) fn circles(files: &[File<'_>], allowed: &[&str]) -> Vec<String> {
    let imports = imports(files);
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|file| (*file, reached(file, &imports))).collect();
    let others = |file: &str| -> Vec<&str> {
        let direct = imports.get(file).into_iter().flatten();
        direct.copied().filter(|other| *other != file && reached[other].contains(file)).collect()
    };
    let mut wrong = Vec::new();
    for file in imports.keys() {
        match (others(file), allowed.contains(file)) {
            (others, false) if !others.is_empty() => wrong.push(format!(
                "{file}: imports {} in a circle; move the shared part to a file below both",
                others.join(", ")
            )),
            (others, true) if others.is_empty() => {
                wrong.push(format!("{file}: is in no circle any more; remove it from circles.txt"));
            }
            _ => {}
        }
    }
    let gone = allowed.iter().filter(|file| !imports.contains_key(*file));
    wrong.extend(gone.map(|file| format!("{file}: does not exist; remove it from circles.txt")));
    wrong
}

/// Returns the complaints about stages of `actors` that other stages or shared files import.
pub(crate) fn stages_of_actors(file: &File<'_>) -> Vec<String> {
    let Some(("actors/src", own)) = module(file.path) else { return Vec::new() };
    let first = own.first().copied().unwrap_or("lib");
    if file.is_test() || ASSEMBLES.contains(&first) {
        return Vec::new();
    }
    let code = code(file.text);
    let named = paths(&code);
    let stages = STAGES.iter().filter(|stage| **stage != first).filter(|stage| {
        let outside = format!("{}{stage}", "super::".repeat(own.len()));
        [format!("crate::{stage}"), outside].iter().any(|start| named.iter().any(|path| names(path, start)))
    });
    stages
        .map(|stage| {
            format!("{}: imports the stage `{stage}`; send it a message of `message`, or move the shared type below", file.path)
        })
        .collect()
}

fn names(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
