//! Writes JSON member by member. Results have the same members in the same order a hundred thousand times a second.
//! Checking their names for escapes each time took longer than writing them.

use serde::Serialize;

/// A finished JSON text.
#[derive(Clone, Debug, Default)]
pub(super) struct Written(Vec<u8>);

impl Written {
    /// `value` as JSON.
    pub(super) fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        let mut text = Vec::new();
        put(&mut text, value);
        Self(text)
    }
}

/// An object being written. Dropping it writes the closing brace.
#[derive(Debug)]
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Begins an object at the end of `out`.
    pub(super) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Begins a member whose name needs no escapes.
    #[inline]
    pub(super) fn member(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// Begins a member of any name.
    pub(super) fn named(&mut self, name: &Written) -> &mut Vec<u8> {
        self.separate();
        self.out.extend_from_slice(&name.0);
        self.out.push(b':');
        self.out
    }

    /// Writes a member through serde.
    #[inline]
    pub(super) fn put<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) {
        put(self.member(name), value);
    }

    /// Writes a member from finished JSON.
    pub(super) fn written(&mut self, name: &'static str, value: &Written) {
        self.member(name).extend_from_slice(&value.0);
    }

    #[inline]
    fn separate(&mut self) {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        self.out.push(b'}');
    }
}

/// Appends an array; `one` writes each item.
pub(super) fn array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut one: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        one(out, item);
    }
    out.push(b']');
}

/// Appends a value. A value that JSON cannot express, as a map whose keys are not strings, becomes null.
#[inline]
pub(super) fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let before = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(before);
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn object_writes_valid_json() {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object.put("a", &1);
        object.written("b", &Written::of("q\"\n"));
        array(object.member("c"), [Some(1.5), None], |out, item| put(out, &item));
        drop(Object::open(object.named(&Written::of("d\""))));
        object.put("e", &BTreeMap::from([(vec![1], 2)]));
        drop(object);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap_or_default();
        assert_eq!(value, serde_json::json!({"a": 1, "b": "q\"\n", "c": [1.5, null], "d\"": {}, "e": null}));
    }
}
