//! A model on each detection of another. The models of these tests are exact: `finder` reads its boxes out of the image, and
//! `mean` gives the mean colour of a crop.

use std::collections::BTreeMap;

use lockstep_engine::time::Timestamp;
use serde_json::{Value, json};

use crate::broker::{Broker, Follower, Producer, header};
use crate::pipeline::Pipeline;
use crate::results::assert_valid;

over_each_broker!(
    each_detection_has_its_own_output_across_a_restart,
    detection_takes_its_row_of_a_ragged_output,
    detection_outside_of_the_image_fails_its_bundle_alone,
    detection_that_its_model_refuses_fails_its_bundle_alone,
);

const TEXT: &str = r#"
[pipeline]
name = "NAME"
[kafka]
brokers = "127.0.0.1:9092"
[inputs.video]
content_type = "image/x-rgb;width=80;height=60"
[models]
repository = "MODELS"
[steps.finder]
model = "finder"
[steps.finder.inputs]
image = { from = "video", image = { width = 80, height = 60, resize = "exact" } }
[steps.finder.outputs]
found = { detections = { boxes = "boxes", scores = "scores", min_score = 0.5 } }
[steps.mean]
model = "mean"
instances = 2
each = "finder.found"
each_max = 20
[steps.mean.inputs]
crop = { from = "video", image = { width = 8, height = 8, crop = {} } }
[steps.mean.outputs]
colour = { embedding = { output = "colour" } }
[delivery]
guarantee = "GUARANTEE"
"#;

const STREAMS: [&str; 3] = ["cam-1", "cam-2", "cam-3"];
/// The detections of a stream's frames, in turn: none, one, more than a batch has, and more than `each_max`.
const COUNTS: [usize; 6] = [0, 1, 3, 0, 12, 30];

fn pipeline(broker: &Broker) -> Pipeline<'_> {
    pipeline_of(broker, TEXT)
}

fn pipeline_of<'b>(broker: &'b Broker, text: &str) -> Pipeline<'b> {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/models");
    // The embedded broker takes no offsets with a transaction.
    let guarantee = if broker.embedded.is_some() { "at-least-once" } else { "exactly-once" };
    let text = text.replace("MODELS", models).replace("GUARANTEE", guarantee);
    let pipeline = Pipeline::of(broker, &text);
    pipeline.create_topics(&["video"], 2);
    pipeline
}

/// The corner of the square of eight pixels that is detection `place`.
fn corner(place: usize) -> [usize; 2] {
    [place % 10 * 8, 8 + place / 10 * 8]
}

fn colour(stream: usize, frame: usize, place: usize) -> [u8; 3] {
    [(stream * 70 + place) as u8, (frame * 3) as u8, (place * 5) as u8]
}

/// A frame with that many detections, each of one colour.
fn picture(stream: usize, frame: usize, count: usize) -> Vec<u8> {
    let mut pixels = vec![128u8; 80 * 60 * 3];
    let mut put = |x: usize, y: usize, value: &[u8]| {
        let at = (y * 80 + x) * 3;
        pixels[at..at + value.len()].copy_from_slice(value);
    };
    put(0, 0, &[count as u8]);
    for place in 0..count {
        let [left, top] = corner(place);
        put(1 + 2 * place, 0, &[left as u8, top as u8]);
        put(2 + 2 * place, 0, &[left as u8 + 8, top as u8 + 8]);
        for (x, y) in (0..8).flat_map(|y| (0..8).map(move |x| (left + x, top + y))) {
            put(x, y, &colour(stream, frame, place));
        }
    }
    pixels
}

fn send(
    producer: &mut Producer,
    pipeline: &Pipeline<'_>,
    began: i64,
    (stream, frame): (usize, usize),
    picture: Vec<u8>,
) {
    let time = (began + frame as i64 * 40_000_000).to_string();
    let headers = [("content-type", "image/x-rgb;width=80;height=60".to_owned()), ("event-time-ns", time)];
    producer.send(&pipeline.topic("video"), Some(STREAMS[stream]), &headers, picture);
}

/// The outputs to expect of the step on each detection.
fn expected(stream: usize, frame: usize, count: usize) -> Value {
    let mut outputs = json!({ "model": "mean", "version": "1" });
    if count == 0 {
        outputs["skipped"] = json!("no detections in finder.found");
        return outputs;
    }
    // Later detections have higher scores.
    let first = count.saturating_sub(20);
    let entry = |place: usize| {
        let [left, top] = corner(place).map(|edge| edge as f64);
        let mean = colour(stream, frame, place).map(f64::from);
        json!({ "index": place, "box": [left, top, left + 8.0, top + 8.0], "colour": mean })
    };
    outputs["of"] = json!("finder.found");
    outputs["each"] = (first..count).map(entry).collect();
    if first > 0 {
        outputs["left_out"] = json!(first);
    }
    outputs
}

/// The frame of each result, by stream.
fn frames(follower: &Follower, began: i64) -> BTreeMap<usize, Vec<(usize, Value)>> {
    let mut frames: BTreeMap<usize, Vec<(usize, Value)>> = BTreeMap::new();
    for result in follower.json() {
        let stream = STREAMS.iter().position(|stream| result["stream"] == *stream).expect("a stream");
        let frame = (result["event_time_ns"].as_i64().expect("a time") - began) / 40_000_000;
        frames.entry(stream).or_default().push((frame as usize, result["outputs"]["mean"].clone()));
    }
    frames
}

fn each_detection_has_its_own_output_across_a_restart(broker: &Broker) {
    const EACH: usize = 30;
    let pipeline = pipeline(broker);
    let (mut producer, began) = (broker.producer(), Timestamp::now().as_nanos());
    let mut follower = broker.follow(&pipeline.topic("results"));
    for part in 0..2 {
        for frame in part * EACH..(part + 1) * EACH {
            for stream in 0..STREAMS.len() {
                let count = COUNTS[(frame + stream) % COUNTS.len()];
                send(&mut producer, &pipeline, began, (stream, frame), picture(stream, frame, count));
            }
        }
        let mut run = pipeline.run(&[]);
        if part == 0 {
            // It ends somewhere in the middle, and what it has not finished is done by the next.
            follower.count(&mut run, 2 * EACH);
            match broker.embedded {
                Some(_) => run.terminate(),
                None => run.kill(),
            };
            continue;
        }
        follower.count(&mut run, 2 * EACH * STREAMS.len());
        assert_eq!(run.terminate().code, Some(0));
    }
    producer.finish();
    follower.for_now();
    assert_valid(&follower.json());
    let found = frames(&follower, began);
    for (stream, found) in &found {
        let order: Vec<usize> = found.iter().map(|(frame, _)| *frame).collect();
        assert_eq!(order, (0..2 * EACH).collect::<Vec<_>>(), "in order, each once: {}", STREAMS[*stream]);
        for (frame, outputs) in found {
            let count = COUNTS[(frame + stream) % COUNTS.len()];
            assert_eq!(*outputs, expected(*stream, *frame, count), "{} {frame}", STREAMS[*stream]);
        }
    }
}

fn detection_takes_its_row_of_a_ragged_output(broker: &Broker) {
    let text = TEXT
        .replace("model = \"finder\"", "model = \"ragged\"")
        .replace("min_score = 0.5", "min_score = 0.505, max = 3")
        .replace("model = \"mean\"", "model = \"echo\"")
        .replace(
            "crop = { from = \"video\", image = { width = 8, height = 8, crop = {} } }",
            "x = { from = \"finder.scores\" }",
        )
        .replace(
            "colour = { embedding = { output = \"colour\" } }",
            "score = { scores = { output = \"y\" } }",
        );
    let pipeline = pipeline_of(broker, &text);
    let (mut producer, began) = (broker.producer(), Timestamp::now().as_nanos());
    for frame in 0..10 {
        send(&mut producer, &pipeline, began, (0, frame), picture(0, frame, frame));
    }
    producer.finish();
    let mut follower = broker.follow(&pipeline.topic("results"));
    let mut run = pipeline.run(&[]);
    follower.count(&mut run, 10);
    assert_eq!(run.terminate().code, Some(0));
    let results = follower.json();
    assert_valid(&results);
    for (frame, result) in results.iter().enumerate() {
        let found = result["outputs"]["finder"]["found"].as_array().expect("detections");
        // The first scores 0.5, which is too little, and the best come first.
        assert_eq!(found.len(), frame.saturating_sub(1).min(3));
        let entries = result["outputs"]["mean"]["each"].as_array().cloned().unwrap_or_default();
        assert_eq!(entries.len(), found.len());
        for (place, (entry, found)) in entries.iter().zip(found).enumerate() {
            assert_eq!((&entry["index"], &entry["box"]), (&json!(place), &found["box"]));
            assert_eq!(entry["score"]["scores"], json!([found["score"]]));
        }
    }
}

fn detection_outside_of_the_image_fails_its_bundle_alone(broker: &Broker) {
    let beyond_the_right_edge = |picture: &mut [u8]| (picture[9], picture[12]) = (200, 220);
    let wanted =
        "detection 1 of finder.found: its box [200.0, 8.0, 220.0, 16.0] is outside of the image of 80 x 60";
    one_bundle_fails(broker, beyond_the_right_edge, wanted);
}

fn detection_that_its_model_refuses_fails_its_bundle_alone(broker: &Broker) {
    let white = |picture: &mut [u8]| {
        let [left, top] = corner(2);
        for y in top..top + 8 {
            picture[(y * 80 + left) * 3..(y * 80 + left + 8) * 3].fill(255);
        }
    };
    one_bundle_fails(broker, white, "detection 2 of finder.found: step mean: ");
}

/// Sends frames of three detections, of which one is spoilt. Its bundle becomes a dead letter, and the others have results.
fn one_bundle_fails(broker: &Broker, spoil: impl Fn(&mut [u8]), wanted: &str) {
    let pipeline = pipeline(broker);
    let (mut producer, began) = (broker.producer(), Timestamp::now().as_nanos());
    let mut follower = broker.follow(&pipeline.topic("results"));
    let mut dead = broker.follow(&pipeline.topic("dead-letters"));
    for frame in 0..10 {
        let mut picture = picture(0, frame, 3);
        if frame == 4 {
            spoil(&mut picture);
        }
        send(&mut producer, &pipeline, began, (0, frame), picture);
    }
    producer.finish();
    let mut run = pipeline.run(&[]);
    follower.count(&mut run, 9);
    dead.count(&mut run, 1);
    assert_eq!(run.terminate().code, Some(0));
    let message = header(&dead.records[0], "lockstep-message");
    assert!(message.starts_with(wanted), "{message}");
    assert_eq!(header(&dead.records[0], "lockstep-reason"), "model-failed");
    let found = frames(&follower, began);
    let order: Vec<usize> = found[&0].iter().map(|(frame, _)| *frame).collect();
    assert_eq!(order, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    for (frame, outputs) in &found[&0] {
        assert_eq!(*outputs, expected(0, *frame, 3), "{frame}");
    }
}
