//! The walk over a parsed TOML document. It takes typed values by key, notes every mistake with its place, and at the end
//! reports the keys that no reader took.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, did_you_mean, listed};

/// The mistakes and the known keys that the walk over one document notes.
pub(super) struct Notes<'a> {
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
    known: RefCell<BTreeSet<String>>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, problems: RefCell::default(), known: RefCell::default() }
    }

    /// Notes a mistake at a byte of the text.
    pub(super) fn at(&self, offset: Option<usize>, key: impl Into<String>, message: impl Into<String>) {
        let place = offset.map(|offset| place(self.text, offset));
        self.problems.borrow_mut().push(Problem { place, key: key.into(), message: message.into() });
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// Every key that a reader took. Names that the user chooses are `<name>`.
    #[cfg(test)]
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.known.borrow().clone()
    }
}

fn place(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// A value and its place in the text.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// One table of the document.
pub(super) struct Section<'a> {
    notes: &'a Notes<'a>,
    table: &'a DeTable<'a>,
    /// The table's path, as `steps.faces`.
    path: String,
    /// The table's path, with `<name>` for names that the user chooses.
    pattern: String,
    offset: usize,
    asked: RefCell<BTreeSet<String>>,
    /// True if the table takes keys of any name.
    open: bool,
}

impl<'a> Section<'a> {
    pub(super) fn root(notes: &'a Notes<'a>, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self {
            notes,
            table: table.get_ref(),
            path: String::new(),
            pattern: String::new(),
            offset: 0,
            asked: RefCell::default(),
            open: false,
        }
    }

    /// Returns true once a mistake has been noted anywhere in the document.
    pub(super) fn has_problems(&self) -> bool {
        !self.notes.problems.borrow().is_empty()
    }

    /// The number of mistakes noted in the document so far.
    pub(super) fn problem_count(&self) -> usize {
        self.notes.problems.borrow().len()
    }

    /// The table's path, as `steps.faces`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    fn join(path: &str, key: &str) -> String {
        if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
    }

    fn entry(&self, key: &str) -> Option<(Range<usize>, &'a Value<'a>)> {
        let (name, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        Some((name.span(), value))
    }

    /// Marks a key as known and returns its value.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value<'a>> {
        self.asked.borrow_mut().insert(key.to_owned());
        let name = if self.open { "<name>" } else { key };
        self.notes.known.borrow_mut().insert(Self::join(&self.pattern, name));
        self.entry(key).map(|(_, value)| value)
    }

    /// Returns true if the table has a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Notes a mistake at the value of a key, or at the table itself if it has no such key.
    pub(super) fn wrong(&self, key: &str, message: impl Into<String>) {
        let offset = self.entry(key).map_or(self.offset, |(_, value)| value.span().start);
        self.notes.at(Some(offset), Self::join(&self.path, key), message);
    }

    /// Notes a mistake at a value further down, or at the nearest table above it. Empty keys are left out.
    pub(super) fn wrong_at(&self, keys: &[&str], message: impl Into<String>) {
        let mut offset = self.offset;
        let mut table = Some(self.table);
        for key in keys.iter().filter(|key| !key.is_empty()) {
            let entry = table.and_then(|table| table.iter().find(|(name, _)| name.get_ref() == *key));
            let Some((name, value)) = entry else { break };
            table = value.get_ref().as_table();
            offset = if table.is_some() { name.span().start } else { value.span().start };
        }
        self.notes.at(Some(offset), Self::join(&self.path, &Self::dotted(keys)), message);
    }

    /// Joins keys by dots and leaves empty ones out.
    pub(super) fn dotted(keys: &[&str]) -> String {
        keys.iter().copied().filter(|key| !key.is_empty()).collect::<Vec<_>>().join(".")
    }

    /// Notes a mistake at this table as a whole.
    pub(super) fn wrong_here(&self, message: impl Into<String>) {
        self.notes.at(Some(self.offset), self.path.clone(), message);
    }

    /// The value of a key if the table has it and it is of the right kind.
    pub(super) fn optional<T>(
        &self,
        key: &str,
        kind: impl Fn(&DeValue<'a>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(key)?;
        kind(value.get_ref()).map_err(|message| self.wrong(key, message)).ok()
    }

    /// The value of a key, or a default if the table lacks it. A wrong value is noted and gives the default.
    pub(super) fn or<T>(&self, key: &str, default: T, kind: impl Fn(&DeValue<'a>) -> Result<T, String>) -> T {
        self.optional(key, kind).unwrap_or(default)
    }

    /// The value of a required key; `example` is the text to write.
    pub(super) fn required<T>(
        &self,
        key: &str,
        example: &str,
        kind: impl Fn(&DeValue<'a>) -> Result<T, String>,
    ) -> Option<T> {
        if self.value(key).is_none() {
            self.wrong(key, format!("is missing; write {example}"));
        }
        self.optional(key, kind)
    }

    /// The table under a key, if there is one.
    pub(super) fn table(&self, key: &str) -> Option<Section<'a>> {
        self.value(key)?;
        self.sub(key, if self.open { "<name>" } else { key }, false)
    }

    /// The table under a required key; `example` is the text to write.
    pub(super) fn required_table(&self, key: &str, example: &str) -> Option<Section<'a>> {
        if self.value(key).is_none() {
            self.wrong(key, format!("is missing; write {example}"));
        }
        self.table(key)
    }

    /// A table under a key that takes keys of any name.
    pub(super) fn open_table(&self, key: &str) -> Option<Section<'a>> {
        self.value(key)?;
        self.sub(key, if self.open { "<name>" } else { key }, true)
    }

    /// The names in this table in the order of the file.
    pub(super) fn names(&self) -> Vec<&'a str> {
        let mut keys: Vec<_> = self.table.keys().collect();
        keys.sort_by_key(|key| key.span().start);
        keys.into_iter().map(|key| key.get_ref().as_ref()).collect()
    }

    /// Marks keys as known whose values cannot be judged.
    pub(super) fn skip(&self, keys: &[&str]) {
        self.asked.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
    }

    /// The text under a key of the table under a name, if both exist. Notes no mistake.
    pub(super) fn text_at(&self, name: &str, key: &str) -> Option<&'a str> {
        let (_, value) = self.entry(name)?;
        value.get_ref().as_table()?.get(key)?.get_ref().as_str()
    }

    /// The table under a name that the user has chosen.
    pub(super) fn named(&self, name: &str) -> Option<Section<'a>> {
        self.asked.borrow_mut().insert(name.to_owned());
        self.sub(name, "<name>", false)
    }

    fn sub(&self, key: &str, pattern: &str, open: bool) -> Option<Section<'a>> {
        let (span, value) = self.entry(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Section {
                notes: self.notes,
                table,
                path: Self::join(&self.path, key),
                pattern: Self::join(&self.pattern, pattern),
                offset: span.start,
                asked: RefCell::default(),
                open,
            }),
            other => {
                let name = Self::join(&self.path, key);
                self.wrong(
                    key,
                    format!("is {}; write a table, as [{name}] or {{ … }}", super::kinds::shown(other)),
                );
                None
            }
        }
    }

    /// The only one of several keys that the table has. Notes a mistake if it has several or none.
    pub(super) fn one_of(&self, keys: &[&'static str], example: &str) -> Option<&'static str> {
        for key in keys {
            self.value(key);
        }
        let found: Vec<&'static str> = keys.iter().copied().filter(|key| self.has(key)).collect();
        match found.as_slice() {
            [one] => Some(one),
            [] => {
                let all = keys.join(", ");
                self.wrong_here(format!("has none of {all}; write one of them, as {example}"));
                None
            }
            several => {
                self.wrong_here(format!("has {} at once; keep one of them", several.join(" and ")));
                None
            }
        }
    }

    /// Notes every key that no reader took as unknown.
    pub(super) fn finish(&self) {
        if self.open {
            return;
        }
        let asked = self.asked.borrow();
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if asked.contains(name) {
                continue;
            }
            let known = || asked.iter().map(String::as_str);
            let mut message = format!("unknown key{}", did_you_mean(name, known()));
            if !message.ends_with('?') {
                message = format!("{message}; known keys are {}", listed(known()));
            }
            self.notes.at(Some(key.span().start), Self::join(&self.path, name), message);
        }
    }
}
