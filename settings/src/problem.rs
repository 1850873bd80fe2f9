//! The mistakes of a configuration: the place, the fault and the remedy of each.

use std::fmt;
use std::path::{Path, PathBuf};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Line and column, from 1. None for a mistake outside the file, as in an option of the command line.
    pub place: Option<(usize, usize)>,
    /// The key's path, as `steps.faces.batch.max_size`; empty for the file as a whole.
    pub key: String,
    /// The fault and, after a semicolon, the remedy. Never holds a secret.
    pub message: String,
}

/// All mistakes of one configuration, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
}

impl Problems {
    /// Sorts the mistakes by line. Those without a line come last.
    pub(super) fn new(file: &Path, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.place.unwrap_or((usize::MAX, 0)));
        list.dedup();
        Self { file: file.to_owned(), list }
    }

    /// The mistakes.
    #[cfg(test)]
    pub(crate) fn list(&self) -> &[Problem] {
        &self.list
    }
}

/// A headline, then a line for each mistake: `file:line:column: key: fault; remedy`.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = match self.list.len() {
            1 => "1 error".to_owned(),
            n => format!("{n} errors"),
        };
        let file = self.file.display();
        write!(f, "{file}: {count} in the configuration")?;
        for problem in &self.list {
            f.write_str("\n  ")?;
            if let Some((line, column)) = problem.place {
                write!(f, "{file}:{line}:{column}: ")?;
            }
            if !problem.key.is_empty() {
                write!(f, "{}: ", problem.key)?;
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The known name nearest to `word`, for "did you mean".
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(word.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "x"?`, or nothing when nothing is near.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}

/// Joins names for messages: `a, b, c`, or `none`.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The edit distance over the first 64 characters: insertions, deletions, replacements and swaps of neighbours (optimal
/// string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().take(64).collect();
    let b: Vec<char> = b.to_lowercase().chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut best =
                (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_a_typing_mistake_and_no_other_word() {
        let known = ["max_size", "max_delay", "preferred"];
        assert_eq!(nearest("max_szie", known), Some("max_size"));
        assert_eq!(nearest("maxsize", known), Some("max_size"));
        assert_eq!(nearest("prefered", known), Some("preferred"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
