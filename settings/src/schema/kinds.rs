//! The kinds of values in the configuration's schema, and the keys that tables need together.

use serde_json::{Map, Value, json};

use crate::tensors::{MAKERS, TEXT_MAKERS};

/// The values that a key takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A table whose keys are all known, but for one `<name>` that the user chooses.
    Table(TableRule),
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
    /// x and y.
    Point,
    /// An entry of `scaling.levels`.
    Level,
    /// A property of librdkafka.
    Property,
}

/// Keys that a table needs or excludes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TableRule {
    Any,
    AnyOf(&'static [&'static str]),
    OneOf(&'static [&'static str]),
    AtMostOneOf(&'static [&'static str]),
    /// One of [`MAKERS`] if `from` names an input, and none that takes no text if it names a step's output.
    MakerIfFromInput,
    AllOf(&'static [TableRule]),
}

/// A size in bytes: a number, and a unit with or without a space before it.
const SIZE: &str = r"^\s*[0-9_]*[0-9][0-9_]*(\.[0-9_]*[0-9][0-9_]*)?\s*(|B|KiB|MiB|GiB|kB|MB|GB)\s*$";

impl Kind {
    /// The schema of the values.
    pub(super) fn schema(self) -> Map<String, Value> {
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
            Self::Point => {
                json!({ "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 })
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

impl TableRule {
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
                let others = MAKERS.into_iter().filter(|maker| !TEXT_MAKERS.contains(maker));
                schema["else"] = none(&others.collect::<Vec<_>>());
            }
            Self::AllOf(all) => all.iter().for_each(|needs| needs.add_to(schema)),
        }
    }
}

/// The map of a schema that is an object.
pub(super) fn object(schema: Value) -> Map<String, Value> {
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}
