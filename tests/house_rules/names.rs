//! Names of types that are defined more than once in the workspace.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::File;
use crate::source::code;

/// Names that several types have, each with its reason: `Name: reason`. The list may only shrink.
const TWICE: &str = include_str!("names.txt");

/// Returns the names that several types may have, with their reasons.
pub(crate) fn allowed() -> Vec<(&'static str, &'static str)> {
    TWICE.lines().map(|line| line.split_once(": ").unwrap_or((line, ""))).collect()
}

/// Returns the names of the types that a file defines. An associated type takes its name from its trait and does not count.
fn defined(text: &str) -> BTreeSet<String> {
    let code = code(text);
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let keyword =
            words.iter().position(|word| ["struct", "enum", "union", "trait", "type"].contains(word))?;
        let is_associated = words[keyword] == "type" && line.starts_with(' ');
        let name = words.get(keyword + 1).filter(|name| name.starts_with(char::is_uppercase))?;
        (!is_associated).then(|| (*name).to_owned())
    };
    code.lines().filter_map(of_line).collect()
}

/// Returns the complaints about names of several types, given the names that may be.
pub(crate) fn names(files: &[File<'_>], allowed: &[(&str, &str)]) -> Vec<String> {
    let mut places = BTreeMap::<String, Vec<&str>>::new();
    for file in files.iter().filter(|file| !file.is_test()) {
        defined(file.text).into_iter().for_each(|name| places.entry(name).or_default().push(file.path));
    }
    places.retain(|_, files| files.len() > 1);
    let is_allowed = |name: &str| allowed.iter().any(|(known, reason)| *known == name && !reason.is_empty());
    let twice = places.iter().filter(|(name, _)| !is_allowed(name)).map(|(name, files)| {
        format!("{name}: names types in {}; rename those of another meaning", files.join(", "))
    });
    let gone = allowed.iter().filter(|(name, _)| !places.contains_key(*name));
    twice
        .chain(gone.map(|(name, _)| format!("{name}: names at most one type; remove it from names.txt")))
        .collect()
}
