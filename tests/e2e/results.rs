//! The results of a pipeline without faults.

use lockstep_engine::time::Timestamp;
use serde_json::Value;

use crate::broker::Broker;
use crate::clip::{FRAMES, JPEG, PCM, clip};
use crate::pipeline::Pipeline;

over_each_broker!(
    frames_and_sound_become_aligned_results,
    a_voice_is_heard_with_its_memory,
    a_silent_microphone_gives_partial_results,
);

/// The tolerance in pixels: decoding, encoding and decoding a JPEG again moves boxes a little.
const PIXELS: f64 = 5.0;

fn golden(model: &str) -> Value {
    let path = format!("{}/models/{model}/golden.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).expect("it is there")).expect("JSON")
}

pub(crate) fn assert_valid(results: &[Value]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/result.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(path).expect("a schema")).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a valid schema");
    for result in results {
        let wrong: Vec<String> = schema.iter_errors(result).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{result}: {wrong:?}");
    }
}

fn event_times(results: &[Value]) -> Vec<i64> {
    results.iter().map(|result| result["event_time_ns"].as_i64().expect("a time")).collect()
}

fn frames_and_sound_become_aligned_results(broker: &Broker) {
    let pipeline = Pipeline::shipped(broker, "talking-face");
    pipeline.create_topics(&["video", "audio"], 2);
    let published = pipeline.publish_clip("cam-1", &[]).wait();
    assert_eq!(published.code, Some(0), "{published:?}");
    let mut run = pipeline.run(&[]);
    let mut follower = broker.follow(&pipeline.topic("results"));
    follower.count(&mut run, FRAMES);
    assert_eq!(run.terminate().code, Some(0));

    let results = follower.json();
    assert_valid(&results);
    let times = event_times(&results);
    assert!(times.is_sorted_by(|a, b| a < b), "in order, none twice: {times:?}");
    assert_eq!(times.len(), FRAMES);
    assert!(follower.records.iter().all(|record| record.key.as_deref() == Some(b"cam-1".as_slice())));

    for frame in golden("faces")[0]["frames"].as_array().expect("frames") {
        let found =
            &results[frame["index"].as_u64().expect("an index") as usize]["outputs"]["faces"]["faces"];
        let (boxes, scores) = (frame["boxes"].as_array(), frame["scores"].as_array());
        for (wanted, score) in boxes.expect("boxes").iter().zip(scores.expect("scores")) {
            // Those near the threshold may be found or not.
            if score.as_f64().is_some_and(|score| score > 0.97) {
                let found = found.as_array().expect("faces");
                assert!(found.iter().any(|face| near(&face["box"], wanted)), "{wanted} among {found:?}");
            }
        }
    }
    let heard = results.iter().filter(|result| result["outputs"]["voice"]["speech"]["detected"] == true);
    assert!(heard.count() > FRAMES / 2, "someone speaks most of the time");
    let complete = results.iter().filter(|result| result["complete"] == true).count();
    assert!(complete > FRAMES / 2, "{complete} bundles are complete");
}

fn near(a: &Value, b: &Value) -> bool {
    let numbers =
        |value: &Value| -> Vec<f64> { value.as_array().unwrap().iter().filter_map(Value::as_f64).collect() };
    numbers(a).iter().zip(numbers(b)).all(|(a, b)| (a - b).abs() < PIXELS)
}

fn a_voice_is_heard_with_its_memory(broker: &Broker) {
    let pipeline = Pipeline::shipped(broker, "voice");
    pipeline.create_topics(&["audio"], 2);
    // Three probabilities of each record, and 250 in the golden file.
    let sound = &clip().sound[..84];
    let mut producer = broker.producer();
    let began = Timestamp::now().as_nanos();
    for (index, chunk) in sound.iter().enumerate() {
        let at = began + i64::try_from(index).unwrap() * 96_000_000;
        let headers = [("content-type", PCM.into()), ("event-time-ns", at.to_string())];
        producer.send(&pipeline.topic("audio"), Some("mic-1"), &headers, chunk.clone());
    }
    producer.finish();
    let mut run = pipeline.run(&[]);
    let mut follower = broker.follow(&pipeline.topic("results"));
    follower.count(&mut run, sound.len());
    assert_eq!(run.terminate().code, Some(0));

    let results = follower.json();
    assert_valid(&results);
    let heard: Vec<f64> = results
        .iter()
        .flat_map(|result| result["outputs"]["voice"]["speech"]["scores"].as_array().expect("scores"))
        .filter_map(Value::as_f64)
        .collect();
    let golden = golden("voice");
    let wanted = golden["probabilities"].as_array().expect("probabilities");
    assert!(heard.len() >= 250, "{} probabilities", heard.len());
    for (index, (heard, wanted)) in heard.iter().zip(wanted).enumerate() {
        let wanted = wanted.as_f64().expect("a number");
        assert!((heard - wanted).abs() < 0.02, "chunk {index}: {heard}, not {wanted}");
    }
}

fn a_silent_microphone_gives_partial_results(broker: &Broker) {
    const COUNT: usize = 5;
    let pipeline = Pipeline::shipped(broker, "talking-face");
    pipeline.create_topics(&["video", "audio"], 2);
    let mut run = pipeline.run(&[]);
    let mut producer = broker.producer();
    for frame in &clip().frames[..COUNT] {
        let headers = [("content-type", JPEG.into()), ("ce_time", Timestamp::now().to_string())];
        producer.send(&pipeline.topic("video"), Some("cam-1"), &headers, frame.clone());
    }
    producer.finish();
    let mut follower = broker.follow(&pipeline.topic("results"));
    follower.count(&mut run, COUNT);
    assert_eq!(run.terminate().code, Some(0));

    let results = follower.json();
    assert_valid(&results);
    for result in &results {
        assert_eq!(result["complete"], false, "{result}");
        assert_eq!(result["inputs"]["audio"]["samples"], serde_json::json!([]), "{result}");
        assert!(result["outputs"]["voice"]["skipped"].is_string(), "{result}");
        assert!(
            result["outputs"]["faces"]["faces"].as_array().is_some_and(|faces| !faces.is_empty()),
            "{result}"
        );
    }
}
