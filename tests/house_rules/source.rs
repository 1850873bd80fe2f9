//! Rust source for the rules: a file, its code, the paths and the types in it.

use std::collections::BTreeSet;

/// A source file: its path from the checkout's root, with `/`, and its text.
pub(crate) struct File<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
}

impl File<'_> {
    pub(crate) fn is_test(&self) -> bool {
        let of_tests = |part: &str| ["tests", "benches", "testing", "testing.rs"].contains(&part);
        self.path.ends_with("tests.rs") || self.path.split('/').any(of_tests)
    }

    /// Returns the lines of code, without comments and inline tests. Both import and name freely.
    fn code(&self) -> impl Iterator<Item = &str> {
        let end = self.text.find("\nmod tests {").unwrap_or(self.text.len());
        self.text[..end].lines().filter(|line| !line.trim_start().starts_with("//"))
    }

    /// Returns every path that the code names, with groups expanded: `use a::{b, c::d}` gives `a::b` and `a::c::d`. A single
    /// name is a path only in a `use`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let code: String = self.code().flat_map(|line| [line, "\n"]).collect();
        let tokens = tokens(&code);
        let (mut found, mut at) = (Vec::new(), 0);
        while at < tokens.len() {
            if !is_name(tokens[at]) {
                at += 1;
                continue;
            }
            // A visibility such as `pub(in crate::publish)` is no import.
            let is_visibility = tokens[..at].ends_with(&["(", "in"]);
            let (is_import, known) = (tokens[..at].ends_with(&["use"]), found.len());
            at = tree(&tokens, at, "", &mut found);
            let is_name = |path: &String| !path.contains("::");
            if is_visibility || !is_import && found[known..].iter().all(is_name) {
                found.truncate(known);
            }
        }
        found
    }

    /// Returns the names of the types that the code defines.
    pub(crate) fn types(&self) -> BTreeSet<&str> {
        self.code().filter_map(type_of_line).collect()
    }
}

/// Returns the name of the type that a line defines. An associated type has the name that its trait gives it.
fn type_of_line(line: &str) -> Option<&str> {
    let (first, rest) = line.trim_start().split_once(' ')?;
    let (keyword, rest) = if first.starts_with("pub") { rest.split_once(' ')? } else { (first, rest) };
    let is_type = ["struct", "enum", "union", "trait"].contains(&keyword)
        || keyword == "type" && !line.starts_with(' ');
    is_type.then(|| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next())?
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<&str> {
    let (mut tokens, mut rest) = (Vec::new(), code.trim_start());
    while let Some(first) = rest.chars().next() {
        let length = match rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len()) {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            length => length,
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// Adds the paths of the tree that begins at `at`, below `prefix`. Returns the place behind it, after `at`.
fn tree(tokens: &[&str], mut at: usize, prefix: &str, found: &mut Vec<String>) -> usize {
    let mut path = prefix.to_owned();
    while let Some(name) = tokens.get(at).filter(|token| is_name(token) || **token == "*") {
        path.push_str(name);
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        path.push_str("::");
        at += 1;
    }
    if tokens.get(at) == Some(&"{") && path.ends_with("::") {
        at += 1;
        while tokens.get(at).is_some_and(|token| *token != "}") {
            at = match tokens[at] {
                "as" => at + 2,
                token if is_name(token) => tree(tokens, at, &path, found),
                _ => at + 1,
            };
        }
        return at + 1;
    }
    found.push(path);
    at
}
