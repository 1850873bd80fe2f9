//! Models that share too little memory for all of them.

use serde_json::Value;

use crate::broker::Broker;
use crate::clip::FRAMES;
use crate::pipeline::Pipeline;

over_each_broker!(models_that_take_turns_give_the_same_results);

/// Enough for the faces (2.06 MB) or the voice (1.26 MB), and not for both.
const MEMORY: &str = "\nmodel_memory = { cpu = \"2200kB\" }\n";

fn models_that_take_turns_give_the_same_results(broker: &Broker) {
    let root = env!("CARGO_MANIFEST_DIR");
    let text = std::fs::read_to_string(format!("{root}/config/talking-face.toml")).expect("it is there");
    let text = text.replace("\"talking-face.", "\"NAME.");
    let shared = text
        .replace("warm_up = [1]\n", "warm_up = [1]\nload = \"lazy\"\n")
        .replace("memory = \"256MiB\"\n", &format!("memory = \"256MiB\"{MEMORY}"));
    assert_eq!(shared.matches("lazy").count() + shared.matches("2200kB").count(), 3);
    let [stay, turns] = [text, shared].map(|text| {
        let pipeline = Pipeline::of(broker, &text);
        pipeline.create_topics(&["video", "audio"], 1);
        let published = pipeline.publish_clip("cam-1", &[]).wait();
        assert_eq!(published.code, Some(0), "{published:?}");
        let ended = pipeline.run_until_end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let mut follower = broker.follow(&pipeline.topic("results"));
        follower.until(&mut [], |all| all.len() >= FRAMES);
        (ended.err, follower.json())
    });
    assert!(!stay.0.contains("model unloaded"), "{}", stay.0);
    assert!(turns.0.contains("model unloaded") && turns.0.contains("evicted"), "{}", turns.0);
    assert_eq!((stay.1.len(), turns.1.len()), (FRAMES, FRAMES));
    for (stay, turns) in stay.1.iter().zip(&turns.1) {
        let seen = |result: &Value| {
            let faces = result["outputs"]["faces"]["faces"].as_array().expect("faces").len();
            (faces, result["outputs"]["voice"]["speech"]["detected"].clone())
        };
        assert_eq!(seen(stay), seen(turns));
    }
}
