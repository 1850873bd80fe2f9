//! The JSON Schema of the configuration, with which editors complete and check a pipeline's file. The kinds are
//! those of [`KEYS`]; defaults and meanings are those of the reference, `docs/configuration.md`.

pub(super) mod keys;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::scaling::{MOST_INSTANCES, MOST_SHARDS};
use super::tensors::MAKERS;
use keys::KEYS;

const REFERENCE: &str = include_str!("../../docs/configuration.md");

/// The values that a key takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A table whose keys are all known, but for one `<name>` that the user chooses.
    Table(Needs),
    /// A table of tables under names that the user chooses and that other keys refer to.
    Named,
    Text,
    Path,
    /// The name of one folder.
    Folder,
    Version,
    Topic,
    Brokers,
    Listen,
    ContentType,
    Device,
    Hours,
    Word(&'static [&'static str]),
    Boolean,
    True,
    /// A whole number from the first to the second. `u64::MAX` stands for no bound.
    Whole(u64, u64),
    Integer,
    /// A number from the first to the second. `f64::MIN` and `f64::MAX` stand for no bound.
    Number(f64, f64),
    NotZero(&'static Kind),
    OneOrTwo,
    /// Bytes from the first to the second. `u64::MAX` stands for no bound.
    Size(u64, u64),
    Duration,
    PositiveDuration,
    SignedDuration,
    OrFalse(&'static Kind),
    /// Entries of one kind, with the least number of them.
    List(&'static Kind, usize),
    Three(&'static Kind),
    /// An entry of `scaling.levels`.
    Level,
    /// A property of librdkafka.
    Property,
}

/// Keys that a table needs or excludes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Needs {
    Any,
    AnyOf(&'static [&'static str]),
    OneOf(&'static [&'static str]),
    AtMostOneOf(&'static [&'static str]),
    /// One of [`MAKERS`] if `from` names an input, and none if it names a step's output.
    MakerIfFromInput,
    AllOf(&'static [Needs]),
}

/// A row of the reference.
struct Row<'a> {
    default: &'a str,
    meaning: &'a str,
}

/// The keys below one table, as a tree.
#[derive(Default)]
struct Node {
    path: &'static str,
    kind: Option<Kind>,
    children: BTreeMap<&'static str, Node>,
}

/// The schema as it stands in `docs/configuration.schema.json`.
pub(crate) fn schema() -> String {
    let mut root = Node::default();
    for (path, kind) in KEYS {
        let node = path.split('.').fold(&mut root, |node, name| node.children.entry(name).or_default());
        (node.path, node.kind) = (path, Some(*kind));
    }
    let mut schema = root.schema(&rows());
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("A pipeline of Lockstep"));
    let description = "Checks each value by itself. `lockstep check` checks how values, models and files fit together as well.";
    schema.insert("description".to_owned(), json!(description));
    schema.insert("$defs".to_owned(), definitions());
    format!("{:#}\n", Value::Object(schema))
}

/// The rows of the reference's tables by key.
fn rows() -> BTreeMap<&'static str, Row<'static>> {
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let &[key, _kind, default, meaning] = cells.as_slice() else { return None };
        Some((key.trim_matches('`'), Row { default, meaning }))
    };
    REFERENCE.lines().filter(|line| line.starts_with("| `")).filter_map(row).collect()
}

impl Node {
    fn schema(&self, rows: &BTreeMap<&str, Row<'_>>) -> Map<String, Value> {
        let mut schema = self.kind.map_or_else(|| object(json!({ "type": "object" })), Kind::schema);
        let child = |node: &Node| Value::Object(node.schema(rows));
        if !self.children.is_empty() {
            let named = self.children.iter().filter(|(name, _)| **name != "<name>");
            let properties: Map<String, Value> =
                named.map(|(name, node)| ((*name).to_owned(), child(node))).collect();
            if !properties.is_empty() {
                schema.insert("properties".to_owned(), Value::Object(properties));
            }
            if !matches!(self.kind, Some(Kind::Property)) {
                let others = self.children.get("<name>").map_or(json!(false), child);
                schema.insert("additionalProperties".to_owned(), others);
            }
            let is_required = |node: &Node| rows.get(node.path).is_some_and(|row| row.default == "required");
            let required = self.children.iter().filter(|(_, node)| is_required(node)).map(|(name, _)| *name);
            let required: Vec<&str> = required.collect();
            if !required.is_empty() {
                schema.insert("required".to_owned(), json!(required));
            }
        }
        if let Some(row) = rows.get(self.path) {
            let text = plain(row.meaning);
            if !text.is_empty() {
                schema.insert("description".to_owned(), json!(text));
            }
            if let Some(default) = literal(row.default) {
                schema.insert("default".to_owned(), default);
            }
        }
        schema
    }
}

/// A cell's text without the targets of its links.
fn plain(cell: &str) -> String {
    let mut text = String::new();
    let mut rest = cell;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((_, behind)) = after.split_once(')') else { break };
        // The words of a link may have brackets of their own, as in a section's name.
        let mut depth = 1_i32;
        let begins = before.char_indices().rev().find(|(_, c)| {
            depth += match c {
                ']' => 1,
                '[' => -1,
                _ => 0,
            };
            depth == 0
        });
        let at = begins.map_or(0, |(at, _)| at);
        text.push_str(before.get(..at).unwrap_or_default());
        text.push_str(before.get(at + 1..).unwrap_or_default());
        rest = behind;
    }
    text + rest
}

/// The value of a cell that is one literal in backticks and nothing else.
fn literal(cell: &str) -> Option<Value> {
    let text = cell.strip_prefix('`')?.strip_suffix('`').filter(|text| !text.contains(['`', '<']))?;
    let table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    serde_json::to_value(table.get("value")?).ok()
}

/// A text that holds a length of time: a number, and a unit with or without a space before it.
const DURATION: &str = r"\s*[0-9_]*[0-9][0-9_]*(\.[0-9_]*[0-9][0-9_]*)?\s*(ns|us|µs|ms|s|m|h|d)\s*$";
const SIZE: &str = r"^\s*[0-9_]*[0-9][0-9_]*(\.[0-9_]*[0-9][0-9_]*)?\s*(|B|KiB|MiB|GiB|kB|MB|GB)\s*$";

/// Schemas that several keys share.
fn definitions() -> Value {
    let text = |pattern: String| json!({ "type": "string", "pattern": pattern });
    let broker = r"[^,]*[^,:\s][^,]*:0*[1-9][0-9]{0,4}\s*";
    json!({
        "duration": text(format!("^{DURATION}")),
        "positive-duration": { "allOf": [{ "$ref": "#/$defs/duration" }, { "pattern": "[1-9]" }] },
        "signed-duration": text(format!("^[+-]?{DURATION}")),
        "topic": text(r"^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$".to_owned()),
        "folder": text(r"^(?!\.{1,2}$)[^/\\\u0000]+$".to_owned()),
        "brokers": text(format!("^{broker}(,{broker})*$")),
        "name": { "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$" },
        "level": {
            "type": "object",
            "properties": {
                "lag": { "type": "integer", "minimum": 0 },
                "shards": { "type": "integer", "minimum": 1, "maximum": MOST_SHARDS },
                "instances": { "type": "integer", "minimum": 1, "maximum": MOST_INSTANCES },
            },
            "required": ["lag", "shards"],
            "additionalProperties": false,
        },
        "property": {
            "type": ["string", "number", "boolean", "object"],
            "additionalProperties": { "$ref": "#/$defs/property" },
        },
    })
}

impl Kind {
    fn schema(self) -> Map<String, Value> {
        let shared = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
        object(match self {
            Self::Table(needs) => {
                let mut schema = json!({ "type": "object" });
                needs.add_to(&mut schema);
                schema
            }
            Self::Named => json!({ "type": "object", "propertyNames": shared("name") }),
            Self::Text | Self::Path => json!({ "type": "string", "minLength": 1 }),
            Self::Folder => shared("folder"),
            Self::Version => json!({ "anyOf": [{ "type": "integer" }, shared("folder")] }),
            Self::Topic => shared("topic"),
            Self::Brokers => shared("brokers"),
            Self::Listen => json!({ "type": "string", "pattern": "^.+:[0-9]+$" }),
            Self::ContentType => json!({ "type": "string", "minLength": 1, "examples": CONTENT_TYPES }),
            Self::Device => {
                let index = "0*(25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})";
                let pattern = format!("^(auto|cpu|cuda(:{index})?)$");
                json!({ "type": "string", "pattern": pattern, "examples": ["auto", "cpu", "cuda:0"] })
            }
            Self::Hours => {
                let time = r"\s*([01][0-9]|2[0-3]):[0-5][0-9]\s*";
                json!({ "type": "string", "pattern": format!("^{time}-{time}$") })
            }
            Self::Word(words) => json!({ "enum": words }),
            Self::Boolean => json!({ "type": "boolean" }),
            Self::True => json!({ "const": true }),
            Self::Whole(least, u64::MAX) => json!({ "type": "integer", "minimum": least }),
            Self::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Self::Integer => json!({ "type": "integer" }),
            Self::Number(least, most) => {
                let mut schema = object(json!({ "type": "number" }));
                if least > f64::MIN {
                    schema.insert("minimum".to_owned(), json!(least));
                }
                if most < f64::MAX {
                    schema.insert("maximum".to_owned(), json!(most));
                }
                Value::Object(schema)
            }
            Self::NotZero(kind) => {
                let mut schema = kind.schema();
                schema.insert("not".to_owned(), json!({ "const": 0 }));
                Value::Object(schema)
            }
            Self::OneOrTwo => json!({ "enum": [1, 2] }),
            Self::Size(least, most) => json!({ "anyOf": [
                Self::Whole(least, most).schema(),
                // The least size is above 0 everywhere.
                { "type": "string", "allOf": [{ "pattern": SIZE }, { "pattern": "[1-9]" }] },
            ] }),
            Self::Duration => shared("duration"),
            Self::PositiveDuration => shared("positive-duration"),
            Self::SignedDuration => shared("signed-duration"),
            Self::OrFalse(kind) => json!({ "anyOf": [{ "const": false }, kind.schema()] }),
            Self::List(kind, least) => json!({ "type": "array", "items": kind.schema(), "minItems": least }),
            Self::Three(kind) => {
                json!({ "type": "array", "items": kind.schema(), "minItems": 3, "maxItems": 3 })
            }
            Self::Level => shared("level"),
            Self::Property => shared("property"),
        })
    }
}

/// One of each family of content types, for completion.
const CONTENT_TYPES: [&str; 9] = [
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/x-rgb;width=320;height=240",
    "audio/pcm;rate=16000;channels=1;format=s16le",
    "audio/wav",
    "audio/flac",
    "text/plain",
    "application/octet-stream",
];

impl Needs {
    fn add_to(self, schema: &mut Value) {
        let has = |key: &&str| json!({ "required": [key] });
        let each = |keys: &[&str]| keys.iter().map(has).collect::<Vec<_>>();
        let none = |keys: &[&str]| json!({ "not": { "anyOf": each(keys) } });
        match self {
            Self::Any => {}
            Self::AnyOf(keys) => schema["anyOf"] = json!(each(keys)),
            Self::OneOf(keys) => schema["oneOf"] = json!(each(keys)),
            Self::AtMostOneOf(keys) => {
                let mut choices = each(keys);
                choices.push(none(keys));
                schema["oneOf"] = json!(choices);
            }
            Self::MakerIfFromInput => {
                schema["if"] = json!({
                    "properties": { "from": { "pattern": r"^[^.]*$" } },
                    "required": ["from"],
                });
                schema["then"] = json!({ "oneOf": each(&MAKERS) });
                schema["else"] = none(&MAKERS);
            }
            Self::AllOf(all) => all.iter().for_each(|needs| needs.add_to(schema)),
        }
    }
}

fn object(schema: Value) -> Map<String, Value> {
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}
