//! Promises of the configuration's JSON Schema: it is the file in `docs`, and it agrees with `lockstep check`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::reference::everything;
use super::*;
use crate::schema::keys;
use crate::schema::kinds::Kind;

/// Values that are wrong for a kind, and values at the ends of its range.
fn probes(kind: Kind) -> (Vec<Value>, Vec<Value>) {
    let mut wrong = vec![json!([[true]])];
    let mut right = Vec::new();
    match kind {
        Kind::Word(words) => {
            wrong.extend([json!("xyzzy"), json!("")]);
            right.extend(words.iter().map(|word| json!(word)));
        }
        Kind::Whole(least, most) | Kind::Size(least, most) => {
            wrong.extend([json!("many"), json!(1.5), json!(least as i64 - 1)]);
            right.push(json!(least));
            if most < u64::MAX {
                wrong.push(json!(most + 1));
                right.push(json!(most));
            }
        }
        Kind::Number(least, most) => {
            wrong.push(json!("much"));
            right.push(json!(least.max(0.5)));
            if least > f64::MIN {
                wrong.push(json!(least - 0.5));
            }
            if most < f64::MAX {
                wrong.push(json!(most + 0.5));
                right.push(json!(most));
            }
        }
        Kind::NotZero(_) => wrong.extend([json!(0), json!("much")]),
        Kind::OneOrTwo => wrong.extend([json!(3), json!("2")]),
        Kind::Boolean => wrong.extend([json!("true"), json!(1)]),
        Kind::True => wrong.extend([json!(false), json!("true")]),
        Kind::Duration => {
            wrong.extend([json!("5"), json!(5), json!("-1s"), json!("1.s"), json!("5 sec"), json!("")]);
            right.extend([json!("0ms"), json!("1.5s"), json!("200 ms"), json!("1_000µs"), json!("30d")]);
        }
        Kind::PositiveDuration => {
            wrong.extend([json!("5"), json!(5), json!("0ms"), json!("-1s")]);
            right.extend([json!("1.5s"), json!("200 ms")]);
        }
        Kind::SignedDuration => {
            wrong.extend([json!("5"), json!(5), json!("--1s")]);
            right.extend([json!("-37ms"), json!("+1s"), json!("0s")]);
        }
        Kind::OrFalse(_) => {
            wrong.extend([json!(true), json!(7), json!("a b")]);
            right.push(json!(false));
        }
        Kind::List(_, least) => {
            wrong.extend([json!(["", {}]), json!("1")]);
            wrong.extend((least > 0).then(|| json!([])));
        }
        Kind::Three(_) => wrong.extend([json!([1, 2]), json!([1, 2, "3"]), json!(["", "", ""])]),
        Kind::Point => wrong.extend([json!([1]), json!([1, 2, 3]), json!(["", ""])]),
        Kind::Topic => wrong.extend([json!("a topic"), json!(""), json!(".."), json!("a".repeat(250))]),
        Kind::Text | Kind::Path => wrong.extend([json!(""), json!(7)]),
        Kind::Folder => wrong.extend([json!("../voice"), json!(".."), json!(""), json!(7)]),
        Kind::Version => wrong.extend([json!("a/b"), json!(""), json!(1.5)]),
        Kind::Brokers => wrong.extend([json!("localhost"), json!("a:1,b"), json!("a:0"), json!("")]),
        Kind::Device => {
            wrong.extend([json!("gpu"), json!("cuda:256"), json!("cuda:x"), json!(0)]);
            right.extend([json!("auto"), json!("cuda"), json!("cuda:255")]);
        }
        Kind::Hours => wrong.extend([json!("22-06"), json!("24:00-06:00"), json!(7)]),
        Kind::Integer => wrong.extend([json!("7"), json!(1.5)]),
        Kind::Table(_) | Kind::Named => wrong.extend([json!(7), json!("x")]),
        Kind::ContentType | Kind::Listen | Kind::Level | Kind::Property => {}
    }
    (wrong, right)
}

/// A value as TOML, all on one line.
fn toml_of(value: &Value) -> String {
    let key = |key: &str| Value::from(key).to_string();
    match value {
        Value::Object(table) => {
            let entries = table.iter().map(|(name, value)| format!("{} = {}", key(name), toml_of(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(toml_of).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn document_of(value: &Value) -> String {
    let table = value.as_object().expect("a table");
    table.iter().map(|(name, value)| format!("{name} = {}\n", toml_of(value))).collect()
}

pub(super) fn json_of(text: &str) -> Value {
    let table: toml::Table = toml::from_str(text).expect("it is TOML");
    serde_json::to_value(table).expect("TOML fits into JSON")
}

fn validator() -> jsonschema::Validator {
    let schema = serde_json::from_str(&schema()).expect("JSON");
    jsonschema::draft202012::new(&schema).expect("a schema")
}

/// The errors that the schema finds in a document.
pub(super) fn refused(text: &str) -> Vec<String> {
    let document = json_of(text);
    let validator = validator();
    validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The problems that the reader has with a document, as keys and messages.
fn problems_of(document: &Value) -> Vec<(String, String)> {
    let text = document_of(document);
    let notes = Notes::new(&text);
    let parsed = parse(&text, &notes).unwrap_or_else(|| panic!("it is no TOML: {text}"));
    read(&Section::root(&notes, &parsed), &notes, root(), &Overrides::default(), &tells_nothing);
    notes.into_problems().into_iter().map(|problem| (problem.key, problem.message)).collect()
}

/// The tables of a document at a path that may have `<name>` in it.
fn places(document: &Value, path: &[&str]) -> Vec<Vec<String>> {
    let Some((first, rest)) = path.split_first() else { return vec![Vec::new()] };
    let Some(table) = document.as_object() else { return Vec::new() };
    let names = table.keys().filter(|name| *first == "<name>" || name == first);
    let below = names.flat_map(|name| {
        places(&table[name], rest).into_iter().map(move |mut below| {
            below.insert(0, name.clone());
            below
        })
    });
    below.collect()
}

fn with(document: &Value, place: &[String], key: &str, value: &Value) -> Value {
    let mut document = document.clone();
    let table = place.iter().fold(&mut document, |table, name| &mut table[name]);
    table[key] = value.clone();
    document
}

/// Returns true if the reader knows the key at a place and refuses its value.
fn is_refused(document: &Value, dotted: &str) -> bool {
    let is_at =
        |key: &str| key == dotted || key.strip_prefix(dotted).is_some_and(|rest| rest.starts_with('.'));
    problems_of(document).iter().any(|(key, message)| is_at(key) && !message.contains("unknown key"))
}

#[test]
fn schema_is_the_file_in_docs() {
    let file = std::fs::read_to_string(root().join("docs/configuration.schema.json")).unwrap_or_default();
    assert!(
        file == schema(),
        "docs/configuration.schema.json is out of date; write it with `lockstep check --schema > \
         docs/configuration.schema.json`"
    );
}

#[test]
fn schema_has_the_keys_and_words_of_the_reference() {
    let reference = std::fs::read_to_string(root().join("docs/configuration.md")).expect("it is there");
    for (path, kind) in keys::KEYS {
        let Some(row) = reference.lines().find(|line| line.starts_with(&format!("| `{path}` |"))) else {
            assert!(path.ends_with("<name>"), "docs/configuration.md has no row of {path}");
            continue;
        };
        let cell = row.split('|').nth(2).expect("a kind").trim();
        let words: Vec<&str> =
            cell.split('`').skip(1).step_by(2).map(|word| word.trim_matches('"')).collect();
        match kind {
            Kind::Word(known) => assert_eq!(words, *known, "{path}"),
            Kind::Whole(least, most) => {
                let numbers =
                    cell.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok());
                for number in numbers.filter(|_| *most < u64::MAX) {
                    assert!(number == *least || number == *most, "{path}: {cell} is not {least}..={most}");
                }
            }
            _ => {}
        }
    }
    let known: BTreeSet<&str> = keys::KEYS.iter().map(|(path, _)| *path).collect();
    let rows = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    for (path, _) in rows.filter(|(path, _)| !path.starts_with("--")) {
        assert!(known.contains(path), "settings/src/schema/keys.rs has no {path}");
    }
}

/// For each key, both refuse values of a wrong type, out of range and outside the enumeration. Both accept the ends of the
/// range.
#[test]
fn schema_and_check_refuse_the_same_values() {
    let validator = validator();
    let documents: Vec<Value> = everything().iter().map(|text| json_of(text)).collect();
    let mut failures = Vec::new();
    for (path, kind) in keys::KEYS {
        let names: Vec<&str> = path.split('.').collect();
        let (last, parents) = names.split_last().expect("a name");
        if *last == "<name>" {
            continue;
        }
        let (wrong, right) = probes(*kind);
        let at = |document: &Value| places(document, parents);
        let spots: Vec<(&Value, Vec<String>)> = documents
            .iter()
            .flat_map(|document| at(document).into_iter().map(move |place| (document, place)))
            .collect();
        let spot = spots.iter().find(|(document, place)| {
            let dotted = place.iter().map(String::as_str).chain([*last]).collect::<Vec<_>>().join(".");
            is_refused(&with(document, place, last, &wrong[0]), &dotted)
        });
        let Some((document, place)) = spot else {
            failures.push(format!("check accepts {} as {path}", wrong[0]));
            continue;
        };
        let all: Vec<&str> = place.iter().map(String::as_str).chain([*last]).collect();
        let (dotted, pointer) = (all.join("."), format!("/{}", all.join("/")));
        let by_schema = |document: &Value| {
            validator.iter_errors(document).any(|error| error.instance_path().as_str().starts_with(&pointer))
        };
        for value in &wrong {
            let changed = with(document, place, last, value);
            if !is_refused(&changed, &dotted) {
                failures.push(format!("check accepts {value} as {path}"));
            }
            if !by_schema(&changed) {
                failures.push(format!("the schema accepts {value} as {path}"));
            }
        }
        for value in &right {
            let changed = with(document, place, last, value);
            if by_schema(&changed) {
                failures.push(format!("the schema refuses {value} as {path}"));
            }
            let message = problems_of(&changed).into_iter().find(|(key, _)| *key == dotted);
            if let Some((_, message)) = message.filter(|(_, message)| message.contains("out of range")) {
                failures.push(format!("check refuses {value} as {path}: {message}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn schema_and_check_refuse_unknown_keys() {
    let validator = validator();
    let documents: Vec<Value> = everything().iter().map(|text| json_of(text)).collect();
    let mut tables: BTreeSet<Vec<&str>> = BTreeSet::new();
    for (path, _) in keys::KEYS {
        let names: Vec<&str> = path.split('.').collect();
        let parents = &names[..names.len() - 1];
        // A table under names that the user chooses has no unknown key.
        let is_open = keys::KEYS.iter().any(|(other, _)| {
            let other: Vec<&str> = other.split('.').collect();
            other.len() > parents.len() && other.starts_with(parents) && other[parents.len()] == "<name>"
        });
        if !is_open && parents.first() != Some(&"kafka") || *parents == ["kafka"] {
            tables.insert(parents.to_vec());
        }
    }
    assert!(tables.len() > 30, "{tables:?}");
    for table in tables {
        let place = documents
            .iter()
            .find_map(|document| places(document, &table).into_iter().next().map(|place| (document, place)));
        let (document, place) = place.unwrap_or_else(|| panic!("no document has {table:?}"));
        let changed = with(document, &place, "xyzzy", &json!(1));
        let dotted = place.iter().map(String::as_str).chain(["xyzzy"]).collect::<Vec<_>>().join(".");
        let found = problems_of(&changed);
        assert!(found.iter().any(|(key, _)| *key == dotted), "check accepts {dotted}: {found:#?}");
        let pointer: String = place.iter().map(|name| format!("/{name}")).collect();
        let mut errors = validator.iter_errors(&changed);
        let is_seen = errors
            .any(|error| error.instance_path().as_str() == pointer && error.to_string().contains("xyzzy"));
        assert!(is_seen, "the schema accepts {dotted}");
    }
}

#[test]
fn schema_accepts_the_shipped_pipelines() {
    for name in ["talking-face.toml", "voice.toml", "scene.toml"] {
        let errors = refused(&shipped(name));
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}
