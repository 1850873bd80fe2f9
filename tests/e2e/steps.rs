//! Steps that depend on what other steps gave: conditions, sources that are missing, and texts. The models return their inputs,
//! so a result shows what a model was given.

use lockstep_engine::time::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::broker::Broker;
use crate::pipeline::Pipeline;

over_each_broker!(
    steps_run_by_their_conditions_and_with_zeros_for_missing_sources,
    steps_take_the_text_that_an_earlier_step_shows,
);

/// The name, the type and the row of a tensor.
type Named = (&'static str, &'static str, &'static str);

/// A model repository with identities of these names and tensors.
fn identities(models: &[(&str, &[Named])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    for (name, tensors) in models {
        let version = folder.path().join(name).join("1");
        std::fs::create_dir_all(&version).expect("a directory");
        let mut text = "backend = \"builtin\"\n".to_owned();
        for kind in ["inputs", "outputs"] {
            for (name, dtype, row) in *tensors {
                text +=
                    &format!("[[{kind}]]\nname = {name:?}\ndtype = {dtype:?}\nshape = [\"batch\", {row}]\n");
            }
        }
        std::fs::write(version.join("model.toml"), text).expect("it can be written");
    }
    folder
}

const TEXT: &str = r#"
[pipeline]
name = "NAME"
[kafka]
brokers = "127.0.0.1:9092"
[inputs.sound]
content_type = "audio/pcm;rate=8000;channels=1;format=f32le"
[inputs.extra]
content_type = "application/octet-stream"
[align]
pivot = "sound"
extra = { nearest = { tolerance = "0ms" }, missing = "emit" }
[models]
repository = "MODELS"
[steps.fused]
model = "fusion"
batch = { max_size = 16, max_delay = "50ms" }
[steps.fused.inputs]
heard = { from = "heard.wave", missing = "zeros" }
extra = { from = "extra", bytes = { length = 4 }, missing = "zeros" }
present = { presence = ["heard", "extra"] }
[steps.first]
model = "wave"
[steps.first.inputs]
wave = { from = "sound", waveform = { rate = 8000, samples = 4 } }
[steps.first.outputs]
loudest = { scores = { output = "wave", reduce = "max" } }
[steps.heard]
model = "wave"
when = "first.loudest >= 0.5"
[steps.heard.inputs]
wave = { from = "first.wave" }
"#;

fn steps_run_by_their_conditions_and_with_zeros_for_missing_sources(broker: &Broker) {
    let models = identities(&[
        ("wave", &[("wave", "f32", "4")]),
        ("fusion", &[("heard", "f32", "4"), ("extra", "u8", "4"), ("present", "bool", "2")]),
    ]);
    let folder = models.path().to_str().expect("UTF-8");
    let pipeline = Pipeline::of(broker, &TEXT.replace("MODELS", folder));
    pipeline.create_topics(&["sound", "extra"], 1);
    let began = Timestamp::now().as_nanos();
    let count = 200;
    let mut producer = broker.producer();
    for number in 0..count {
        let headers = [("event-time-ns", (began + number * 1_000_000).to_string())];
        let stream = format!("stream-{}", number % 3);
        let loudest = if number % 2 == 0 { 0.75_f32 } else { 0.25 };
        let wave: Vec<u8> = [loudest, -1.0, 0.0, 0.125].into_iter().flat_map(f32::to_le_bytes).collect();
        producer.send(&pipeline.topic("sound"), Some(&stream), &headers, wave);
        if number % 5 < 2 {
            let extra = vec![7, 8, 9, number as u8];
            producer.send(&pipeline.topic("extra"), Some(&stream), &headers, extra);
        }
    }
    producer.finish();
    let ended = pipeline.run_until_end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut follower = broker.follow(&pipeline.topic("results"));
    follower.until(&mut [], |all| all.len() >= count as usize);
    let results = follower.json();
    assert_eq!(results.len(), count as usize);
    for result in results {
        let number = (result["event_time_ns"].as_i64().expect("a time") - began) / 1_000_000;
        let (is_heard, has_extra) = (number % 2 == 0, number % 5 < 2);
        let outputs = &result["outputs"];
        assert_eq!(outputs["first"]["loudest"]["score"], json!(if is_heard { 0.75 } else { 0.25 }));
        let skipped = |step: &str| outputs[step]["skipped"].as_str().unwrap_or_default();
        let why = if is_heard { "" } else { "when first.loudest >= 0.5 does not hold: it is 0.25" };
        assert_eq!(skipped("heard"), why);
        if !is_heard && !has_extra {
            assert_eq!(skipped("fused"), "all of its sources are missing: step heard was skipped");
            continue;
        }
        let values = |name: &str| -> Value { outputs["fused"][name]["values"].clone() };
        let heard = if is_heard { json!([0.75, -1.0, 0.0, 0.125]) } else { json!([0.0, 0.0, 0.0, 0.0]) };
        let extra = if has_extra { json!([7, 8, 9, number]) } else { json!([0, 0, 0, 0]) };
        assert_eq!((values("heard"), values("extra")), (heard, extra), "{number}");
        assert_eq!(values("present"), json!([is_heard, has_extra]), "{number}");
    }
}

const WORDS: &str = r#"
[pipeline]
name = "NAME"
[kafka]
brokers = "127.0.0.1:9092"
[inputs.note]
content_type = "text/plain"
[models]
repository = "MODELS"
[steps.meaning]
model = "tokens"
when = "said.words != ''"
batch = { max_size = 16, max_delay = "50ms" }
[steps.meaning.inputs]
ids = { from = "said.words", token_ids = { tokenizer = "MODELS/tokenizer.json", length = 4 } }
mask = { from = "said.words.text", attention_mask = { tokenizer = "MODELS/tokenizer.json", length = 4 } }
[steps.said]
model = "tokens"
[steps.said.inputs]
ids = { from = "note", token_ids = { tokenizer = "MODELS/tokenizer.json", length = 4 } }
mask = { zeros = true }
[steps.said.outputs]
words = { text = { output = "ids", tokenizer = "MODELS/tokenizer.json", end = 1 } }
"#;

fn steps_take_the_text_that_an_earlier_step_shows(broker: &Broker) {
    let models = identities(&[("tokens", &[("ids", "i64", "4"), ("mask", "i64", "4")])]);
    let words = ["[PAD]", "[END]", "who", "is", "there", "[UNK]"];
    let vocabulary: serde_json::Map<String, Value> =
        words.iter().zip(0..).map(|(word, id)| ((*word).to_owned(), json!(id))).collect();
    let special = |id: u64| {
        json!({ "id": id, "content": words[id as usize], "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true })
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special(0), special(1)],
        "normalizer": null, "pre_tokenizer": { "type": "WhitespaceSplit" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]" },
    });
    std::fs::write(models.path().join("tokenizer.json"), tokenizer.to_string()).expect("it can be written");
    let folder = models.path().to_str().expect("UTF-8");
    let pipeline = Pipeline::of(broker, &WORDS.replace("MODELS", folder));
    pipeline.create_topics(&["note"], 1);
    let notes = ["who is there", "[END] who", "there [END] is", "there is there is"];
    let heard = ["who is there", "", "there", "there is there is"];
    let ids = [json!([2, 3, 4, 0]), json!(null), json!([4, 0, 0, 0]), json!([4, 3, 4, 3])];
    let masks = [json!([1, 1, 1, 0]), json!(null), json!([1, 0, 0, 0]), json!([1, 1, 1, 1])];
    let began = Timestamp::now().as_nanos();
    let mut producer = broker.producer();
    for (place, note) in notes.iter().cycle().take(40).enumerate() {
        let headers = [("event-time-ns", (began + place as i64 * 1_000_000).to_string())];
        producer.send(&pipeline.topic("note"), Some("stream"), &headers, note.as_bytes().to_vec());
    }
    producer.finish();
    let ended = pipeline.run_until_end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut follower = broker.follow(&pipeline.topic("results"));
    follower.until(&mut [], |all| all.len() >= 40);
    let results = follower.json();
    assert_eq!(results.len(), 40);
    for result in results {
        let number = (result["event_time_ns"].as_i64().expect("a time") - began) / 1_000_000;
        let case = number as usize % notes.len();
        let outputs = &result["outputs"];
        assert_eq!(outputs["said"]["words"]["text"], heard[case]);
        assert_eq!(outputs["meaning"]["ids"]["values"], ids[case], "{outputs}");
        assert_eq!(outputs["meaning"]["mask"]["values"], masks[case], "{outputs}");
        let skipped = outputs["meaning"]["skipped"].as_str();
        let why = (case == 1).then_some("when said.words != '' does not hold: it is ''");
        assert_eq!(skipped, why);
    }
}
