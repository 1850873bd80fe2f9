//! The reference, `docs/configuration.md`, which names every key that is read.

use std::collections::BTreeSet;

use super::*;

/// A document that takes each branch of the reader, so that it takes every key. Its values do not matter.
const EVERYTHING: &str = r#"
[pipeline]
[kafka.properties]
a = { env = "PATH" }
[kafka.consumer]
a = { env = "PATH" }
[kafka.producer]
a = { env = "PATH" }
[inputs.video]
content_type = "image/jpeg"
shed = { keep_latest = "1s" }
[inputs.audio]
content_type = "audio/wav"
shed = { sample = 2 }
[inputs.near]
content_type = "text/plain"
shed = { priority = ["a"] }
[inputs.between]
content_type = "text/plain"
[inputs.last]
content_type = "application/octet-stream"
[align]
pivot = "video"
audio = { window = { before = "1s" } }
near = { nearest = { tolerance = "1s" } }
bounds = {}
last = { latest = { max_age = "1s" } }
between = { all_between_pivots = { max_age = "1s" } }
[models]
repository = "MODELS"
[steps.a]
model = "voice"
batch = {}
on_open_circuit = "fallback"
fallback = {}
[steps.a.inputs]
audio = { from = "video", image = { crop = {} } }
state = { from = "audio", waveform = { rate = 16000 } }
context = { from = "audio", log_mel = { rate = 16000 } }
[steps.a.outputs]
a = { detections = { track = {} } }
b = { scores = {} }
c = { topk = {} }
f = { ctc = {} }
g = { text = {} }
d = { embedding = {} }
e = { raw = {} }
[steps.b]
model = "voice"
[steps.b.inputs]
audio = { from = "near", token_ids = {} }
state = { from = "near", attention_mask = {} }
context = { from = "last", bytes = {} }
[steps.c]
model = "voice"
[steps.c.inputs]
audio = { zeros = true }
state = { carry = "state" }
context = { from = "near", token_type_ids = {} }
[steps.d]
model = "voice"
[steps.d.inputs]
audio = { presence = ["state"] }
[scaling]
shards = {}
instances = { a = {} }
[results]
[delivery]
[limits]
model_memory = { cpu = "1GiB" }
[supervision]
[http]
"#;

/// [`EVERYTHING`] with each method that has keys of its own.
pub(super) fn everything() -> [String; 4] {
    let text = EVERYTHING.replace("MODELS", root().join("models").to_str().expect("plain"));
    let methods = [
        "pivot = \"video\"",
        "method = \"approximate-time\"",
        "method = \"tumbling\"",
        "method = \"session\"",
    ];
    methods.map(|method| text.replace("pivot = \"video\"", method))
}

#[test]
fn reference_names_every_key_and_no_other() {
    let mut known = BTreeSet::new();
    for text in everything() {
        let notes = Notes::new(&text);
        let document = parse(&text, &notes).expect("it is TOML");
        read(&Section::root(&notes, &document), &notes, root(), &Overrides::default(), &tells_nothing);
        known.extend(notes.known());
    }

    let reference = std::fs::read_to_string(root().join("docs/configuration.md")).expect("a readable file");
    let rows = reference.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<String> = rows
        .filter_map(|row| row.split_once('`'))
        .map(|(key, _)| key.to_owned())
        .filter(|key| !key.starts_with("--"))
        .collect();
    let missing: Vec<&String> = known.difference(&documented).collect();
    let invented: Vec<&String> = documented.difference(&known).collect();
    assert!(missing.is_empty(), "docs/configuration.md lacks {missing:#?}");
    assert!(invented.is_empty(), "docs/configuration.md names unknown keys: {invented:#?}");
}

#[test]
fn reference_examples_are_toml() {
    let reference = std::fs::read_to_string(root().join("docs/configuration.md")).expect("a readable file");
    let examples = reference.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let mut count = 0;
    for (example, _) in examples {
        count += 1;
        if let Err(error) = DeTable::parse(example) {
            panic!("{error}\n{example}");
        }
    }
    assert!(count > 10, "{count} examples");
}
