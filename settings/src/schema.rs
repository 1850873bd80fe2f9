//! The JSON Schema of the configuration, with which editors complete and check a pipeline's file. The kinds are
//! those of [`KEYS`]; defaults and meanings are those of the reference, `docs/configuration.md`.

pub(super) mod keys;
pub(super) mod kinds;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::scaling::{MOST_INSTANCES, MOST_SHARDS};
use keys::KEYS;
use kinds::{Kind, object};

const REFERENCE: &str = include_str!("../../docs/configuration.md");

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
pub fn schema() -> String {
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
