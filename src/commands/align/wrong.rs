//! The error of a line of the dry run that cannot be read: the field, its value, and the remedy.

use serde_json::Value;

/// The most characters of a text in an error.
const SHOWN: usize = 40;

const EXAMPLE: &str = r#"{"stream":"cam-1","input":"video","event_time_ns":0}"#;

/// The fields of a line, and the kind of each.
const FIELDS: [(&str, KeyKind); 7] = [
    ("stream", KeyKind::Text),
    ("input", KeyKind::Text),
    ("event_time_ns", KeyKind::Whole),
    ("duration_ns", KeyKind::Amount),
    ("id", KeyKind::Any),
    ("arrival_ns", KeyKind::WholeIfKnown),
    ("bytes", KeyKind::Amount),
];

#[derive(Clone, Copy)]
enum KeyKind {
    Text,
    Whole,
    WholeIfKnown,
    /// From 0 on, if known.
    Amount,
    Any,
}

impl KeyKind {
    fn is_required(self) -> bool {
        matches!(self, Self::Text | Self::Whole)
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Whole => value.is_i64(),
            Self::WholeIfKnown => value.is_i64() || value.is_null(),
            Self::Amount => value.is_u64() || value.is_null(),
            Self::Any => true,
        }
    }

    fn right(self) -> String {
        match self {
            Self::Text => "a text in quotes".to_owned(),
            Self::Whole | Self::WholeIfKnown => {
                format!("a whole number from {} to {}, without a fraction or quotes", i64::MIN, i64::MAX)
            }
            Self::Amount => format!("a whole number from 0 to {}, without a fraction or quotes", u64::MAX),
            Self::Any => "a text or a number".to_owned(),
        }
    }
}

/// Explains the error of a line that is no sample, given the message of serde.
pub(super) fn in_line(line: &str, said: &str) -> String {
    let fields = match serde_json::from_str(line) {
        Ok(Value::Object(fields)) => fields,
        Ok(other) => return format!("is {}; a sample is an object, as {EXAMPLE}", shown(&other)),
        Err(_) if !line.starts_with('{') => {
            return format!("is not JSON: {:?}; a sample is one object, as {EXAMPLE}", shortened(line));
        }
        Err(error) if error.is_eof() => {
            return format!("ends before the object does: {:?}; a sample is {EXAMPLE}", shortened(line));
        }
        Err(error) => {
            let place = error.column();
            // It counts bytes.
            let rest = line.get(place.saturating_sub(1)..).unwrap_or_default();
            let what = match error.to_string() {
                text if text.starts_with("number out of range") => "has a number that is out of range",
                _ => "is not JSON",
            };
            return format!(
                "{what} at byte {place}: {:?}; a sample is one object, as {EXAMPLE}",
                shortened(rest)
            );
        }
    };
    for (name, value) in &fields {
        let Some((_, kind)) = FIELDS.iter().find(|(field, _)| field == name) else {
            let known = FIELDS.map(|(name, _)| name).join(", ");
            return format!("{:?} is no field of a sample; it has {known}", shortened(name));
        };
        if !kind.fits(value) {
            return format!("{name} is {}; {} would be right", shown(value), kind.right());
        }
    }
    let missing = FIELDS.iter().find(|(name, kind)| kind.is_required() && !fields.contains_key(*name));
    if let Some((name, _)) = missing {
        return format!("{name} is missing; a sample is {EXAMPLE}");
    }
    // A field that is given once is no mistake.
    let twice = FIELDS.iter().find(|(name, _)| said.contains(&format!("`{name}`")));
    format!("{} is given twice; write it once", twice.map_or("a field", |(name, _)| *name))
}

/// A value for messages, shortened.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => format!("the text {:?}", shortened(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The beginning of a text, with a mark if that is not all of it.
pub(super) fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(SHOWN).collect();
    if chars.next().is_some() { start + "…" } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_what_was_found_and_what_would_be_right_are_told() {
        for (line, says) in [
            (
                r#"{"stream":"s","input":"video","event_time_ns":1e999}"#,
                "has a number that is out of range at byte",
            ),
            ("{", "ends before the object does: \"{\"; a sample is {\"stream\""),
            ("not json", "is not JSON: \"not json\"; a sample is one object, as {"),
            ("[1,2]", "is a list; a sample is an object, as {"),
            ("null", "is null; a sample is an object"),
            (r#"{"stream":"s","input":"video"}"#, "event_time_ns is missing; a sample is {\"stream\""),
            (
                r#"{"stream":"s","input":"video","event_time_ns":1.5}"#,
                "event_time_ns is 1.5; a whole number from -9",
            ),
            (
                r#"{"stream":"s","input":"video","event_time_ns":null}"#,
                "event_time_ns is null; a whole number",
            ),
            (
                r#"{"stream":"s","input":"video","event_time_ns":"1"}"#,
                "event_time_ns is the text \"1\"; a whole",
            ),
            (
                r#"{"stream":7,"input":"video","event_time_ns":1}"#,
                "stream is 7; a text in quotes would be right",
            ),
            (
                r#"{"stream":"s","input":"video","event_time_ns":1,"duration_ns":-1}"#,
                "duration_ns is -1; a whole number from 0 to",
            ),
            (
                r#"{"stream":"s","input":"video","event_time_ns":1,"arival_ns":1}"#,
                "\"arival_ns\" is no field of a sample; it has stream, input, event_time_ns, duration_ns",
            ),
            (
                r#"{"stream":"s","input":"video","event_time_ns":1,"event_time_ns":2}"#,
                "event_time_ns is given twice; write it once",
            ),
            (r#"{"stream":"s","input":"video","event_time_ns":1} x"#, "is not JSON at byte 50: \"x\""),
        ] {
            let error = in_line(line, "duplicate field `event_time_ns`");
            assert!(error.starts_with(says), "{line}: {error}");
            assert!(!error.contains("u64") && !error.contains("i64"), "{error}");
        }
    }

    #[test]
    fn whatever_a_line_holds_what_is_said_of_it_is_short() {
        let long = "y".repeat(1_000_000);
        for line in [
            format!(r#"{{"{long}":1}}"#),
            format!(r#"{{"stream":"s","input":"video","event_time_ns":"{long}"}}"#),
            format!(r#"{{"stream":"{long}"#),
            "[".repeat(100_000),
            long,
        ] {
            let error = in_line(&line, "");
            assert!(error.len() < 300, "{error}");
        }
    }
}
