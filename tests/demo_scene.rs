//! `lockstep demo scene` as its users have it. `make setup-scene` fetches the weights. Without them the test says so and passes.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn lockstep(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["--log-level", "warn"]).args(arguments);
    command.output().expect("it runs")
}

#[test]
fn scene_says_what_is_said_and_seen() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let names = ["whisper-tiny-en", "efficientnet-lite0", "all-minilm-l6-v2"];
    if names.iter().any(|name| !models.join(name).join("1/model.safetensors").exists()) {
        println!("skipped: the scene's models have no weights here; `make setup-scene` fetches them");
        return;
    }
    let checked = lockstep(&["check", "config/scene.toml"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let shown = lockstep(&["demo", "scene", "--json"]);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [results @ .., summary] = lines.as_slice() else { panic!("nothing is shown") };
    assert_eq!(summary["summary"]["bundles"], 3, "{text}");

    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/result.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(schema).expect("a schema")).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a valid schema");
    for result in results {
        let wrong: Vec<String> = schema.iter_errors(result).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{result}: {wrong:?}");
    }

    // The words of the clip, as far as Whisper heard them in a test: small differences of processors may change some.
    let said: Vec<&str> =
        results.iter().filter_map(|result| result["outputs"]["words"]["said"]["text"].as_str()).collect();
    assert!(said.first().is_some_and(|said| said.starts_with("Today, after two years")), "{said:?}");
    assert!(said.get(1).is_some_and(|said| said.contains("United States")), "{said:?}");
    let fit = |result: &Value| result["outputs"]["note_fit"]["note_fit"]["score"].as_f64().expect("a cosine");
    for result in results {
        let outputs = &result["outputs"];
        assert_eq!(outputs["faces"]["faces"].as_array().map(Vec::len), Some(2), "{result}");
        // He talks of politics, and wears a suit.
        let talk = outputs["talk_fit"]["talk_fit"]["score"].as_f64();
        assert!(talk.is_some_and(|cosine| cosine < 0.25), "{result}");
        let best = outputs["seen"]["seen"][0]["label"].as_str();
        assert!(best.is_some_and(|label| ["Windsor tie", "suit"].contains(&label)), "{result}");
    }
    // "He wears a suit and a tie." fits; "A cup of coffee on the table." does not.
    assert!(fit(&results[0]) > 0.4 && fit(&results[1]) < 0.2, "{text}");
}
