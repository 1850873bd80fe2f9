//! The state of a recurrent model when its process stops or dies and another takes its streams over.

use std::collections::BTreeMap;

use lockstep_engine::time::Timestamp;
use serde_json::Value;

use crate::broker::{Broker, Follower, Producer};
use crate::clip::{PCM, clip};
use crate::pipeline::Pipeline;

over_each_broker!(a_stop_in_the_middle_does_not_show_in_what_a_model_hears);

#[test]
fn deaths_do_not_show_in_what_a_model_hears_exactly_once() {
    if let Some(broker) = Broker::apache_kafka() {
        deaths_do_not_show(&broker);
    }
}

const STREAMS: [&str; 3] = ["call-1", "call-2", "call-3"];

/// Sound of several streams, each beginning elsewhere in the clip, so that a state in the wrong place shows.
struct Sound {
    began: i64,
    sent: usize,
}

impl Sound {
    fn new() -> Self {
        Self { began: Timestamp::now().as_nanos(), sent: 0 }
    }

    /// Sends the next records to each of these topics.
    fn send(&mut self, producer: &mut Producer, topics: &[String], count: usize) {
        let sound = &clip().sound;
        for _ in 0..count {
            let time = (self.began + self.sent as i64 * 96_000_000).to_string();
            for (place, stream) in STREAMS.iter().enumerate() {
                let payload = sound[(self.sent + place * 20) % (sound.len() - 1)].clone();
                for topic in topics {
                    let headers = [("content-type", PCM.to_owned()), ("event-time-ns", time.clone())];
                    producer.send(topic, Some(stream), &headers, payload.clone());
                }
            }
            self.sent += 1;
        }
    }
}

/// The model's outputs by bundle, to the last digit.
fn heard(follower: &Follower) -> BTreeMap<String, String> {
    let results = follower.json();
    let one = |result: &Value| (result["id"].to_string(), result["outputs"]["voice"]["speech"].to_string());
    let heard: BTreeMap<_, _> = results.iter().map(one).collect();
    assert_eq!(heard.len(), results.len(), "none came twice");
    heard
}

fn text() -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/voice.toml"));
    text.expect("it is there").replace("\"voice.", "\"NAME.")
}

fn pipeline<'b>(broker: &'b Broker, text: &str) -> Pipeline<'b> {
    let pipeline = Pipeline::of(broker, text);
    pipeline.create_topics(&["audio"], 2);
    pipeline
}

fn pipelines<'b>(broker: &'b Broker, more: &str) -> [Pipeline<'b>; 2] {
    let text = text() + more;
    [(); 2].map(|()| pipeline(broker, &text))
}

/// The same model in another runtime. An ONNX file cannot name outputs like inputs.
fn in_runtime(model: &str) -> String {
    let text = text().replace("model = \"voice\"", &format!("model = \"{model}\""));
    if model == "voice-onnx" { text.replace("carry = \"", "carry = \"next_") } else { text }
}

#[test]
fn every_runtime_hears_the_same_across_a_stop() {
    let broker = Broker::embedded();
    let others = ["voice-onnx", "voice-pt2"].map(|model| pipeline(&broker, &in_runtime(model)));
    let reference = pipeline(&broker, &text());
    let topics: Vec<String> =
        others.iter().chain([&reference]).map(|pipeline| pipeline.topic("audio")).collect();
    let (mut producer, mut sound) = (broker.producer(), Sound::new());
    let mut followers: Vec<Follower> =
        others.iter().map(|pipeline| broker.follow(&pipeline.topic("results"))).collect();
    for part in 1..=2 {
        sound.send(&mut producer, &topics, 30);
        for (other, follower) in others.iter().zip(&mut followers) {
            let mut run = other.run(&[]);
            follower.count(&mut run, part * 30 * STREAMS.len());
            assert_eq!(run.terminate().code, Some(0));
        }
    }
    let mut expected = broker.follow(&reference.topic("results"));
    let mut run = reference.run(&[]);
    expected.count(&mut run, 60 * STREAMS.len());
    assert_eq!(run.terminate().code, Some(0));
    let expected = probabilities(&expected);
    for follower in &followers {
        let found = probabilities(follower);
        assert_eq!(found.len(), expected.len());
        for (bundle, found) in &found {
            let pairs = found.iter().zip(&expected[bundle]);
            assert!(
                found.len() == 3 && pairs.clone().all(|(one, other)| (one - other).abs() < 1e-4),
                "{bundle:?}"
            );
        }
    }
}

/// The probabilities of speech by stream and event time.
fn probabilities(follower: &Follower) -> BTreeMap<(String, i64), Vec<f64>> {
    let one = |result: &Value| {
        let bundle = (result["stream"].to_string(), result["event_time_ns"].as_i64().expect("a time"));
        let scores = result["outputs"]["voice"]["speech"]["scores"].as_array().expect("scores");
        (bundle, scores.iter().map(|score| score.as_f64().expect("a number")).collect())
    };
    follower.json().iter().map(one).collect()
}

fn a_stop_in_the_middle_does_not_show_in_what_a_model_hears(broker: &Broker) {
    let [calm, stopped] = pipelines(broker, "");
    let topics = [calm.topic("audio"), stopped.topic("audio")];
    let (mut producer, mut sound) = (broker.producer(), Sound::new());
    let mut follower = broker.follow(&stopped.topic("results"));
    for part in 1..=3 {
        sound.send(&mut producer, &topics, 40);
        let mut run = stopped.run(&[]);
        follower.count(&mut run, part * 40 * STREAMS.len());
        assert_eq!(run.terminate().code, Some(0));
    }
    producer.finish();
    let mut undisturbed = broker.follow(&calm.topic("results"));
    let mut run = calm.run(&[]);
    undisturbed.count(&mut run, 120 * STREAMS.len());
    assert_eq!(run.terminate().code, Some(0));
    assert_eq!(heard(&follower), heard(&undisturbed));
}

fn deaths_do_not_show(broker: &Broker) {
    let [calm, dying] = pipelines(broker, "\n[delivery]\nguarantee = \"exactly-once\"\n");
    let topics = [calm.topic("audio"), dying.topic("audio")];
    let (mut producer, mut sound) = (broker.producer(), Sound::new());
    let mut follower = broker.follow(&dying.topic("results"));
    for point in ["before-commit:3", "after-commit:3", "after-produce:100", "before-produce:150"] {
        let mut run = dying.run(&[("LOCKSTEP_FAULT_POINT", point)]);
        // A little at a time, so that there are many transactions to die in.
        while !run.has_ended() {
            sound.send(&mut producer, &topics, 1);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_ne!(run.wait().code, Some(0));
    }
    sound.send(&mut producer, &topics, 20);
    producer.finish();
    let all = sound.sent * STREAMS.len();
    let mut run = dying.run(&[]);
    follower.count(&mut run, all);
    assert_eq!(run.terminate().code, Some(0));
    let mut undisturbed = broker.follow(&calm.topic("results"));
    let mut run = calm.run(&[]);
    undisturbed.count(&mut run, all);
    assert_eq!(run.terminate().code, Some(0));
    assert_eq!(heard(&follower), heard(&undisturbed));
}
