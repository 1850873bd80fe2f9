//! What the commands say beside the run.

use crate::broker::Broker;
use crate::pipeline::Pipeline;
use crate::process::Lockstep;

over_each_broker!(topics_that_do_not_fit_are_refused_with_the_remedy);

fn topics_that_do_not_fit_are_refused_with_the_remedy(broker: &Broker) {
    let pipeline = Pipeline::shipped(broker, "talking-face");
    let missing = pipeline.run(&[]).wait();
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.err.contains(&pipeline.topic("audio")), "{}", missing.err);
    assert!(missing.err.contains("lockstep topics create"), "{}", missing.err);

    // As a user would make them by hand, and not alike.
    let one = Pipeline::shipped(broker, "talking-face");
    let unlike = |topic: &str, partitions: i32| match &broker.embedded {
        Some(embedded) => embedded.create_topic(topic, partitions).expect("made"),
        None => {
            use lockstep_kafka::admin::{TopicSpec, create_topics};
            let spec = TopicSpec { name: topic.into(), partitions, replication: None, is_compacted: false };
            let made = create_topics(&broker.address, &Default::default(), &[spec], crate::process::PATIENCE);
            for made in made.expect("asked") {
                made.expect("made");
            }
        }
    };
    unlike(&one.topic("video"), 2);
    for topic in ["audio", "results", "dead-letters", "late"] {
        unlike(&one.topic(topic), 3);
    }
    let refused = one.run(&[]).wait();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("different numbers of partitions"), "{}", refused.err);
    assert!(refused.err.contains("kafka-topics.sh --alter --partitions 3"), "{}", refused.err);
}

/// Over Apache Kafka alone: the embedded broker takes topics only when it is started.
#[test]
fn topics_are_created_once_and_never_changed() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let pipeline = Pipeline::shipped(&broker, "talking-face");
    let create = |partitions: &str| {
        let file = pipeline.file.to_str().expect("UTF-8");
        let args = ["topics", "create", file, "--partitions", partitions];
        Lockstep::run(&args, &[("LOCKSTEP_BROKERS", &broker.address)])
    };
    let created = create("3");
    assert_eq!((created.code, created.out.matches("created with 3").count()), (Some(0), 5), "{created:?}");
    let again = create("3");
    assert_eq!((again.code, again.out.matches("there already").count()), (Some(0), 5), "{again:?}");
    let other = create("4");
    assert_eq!(
        (other.code, other.err.matches("exists with 3 partitions").count()),
        (Some(1), 5),
        "{other:?}"
    );
}

#[test]
fn the_shipped_pipelines_are_right() {
    for name in ["talking-face", "voice"] {
        let ended = Lockstep::run(&["check", &format!("config/{name}.toml")], &[]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.out.contains(&format!("{name}: ok")), "{ended:?}");
    }
}

#[test]
fn a_broken_pipeline_shows_all_its_mistakes_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("broken.toml");
    let text = std::fs::read_to_string("config/talking-face.toml").expect("it is there");
    let models = format!("{}/models", env!("CARGO_MANIFEST_DIR"));
    let text = text
        .replace("../models", &models)
        .replace("127.0.0.1:9092", "nowhere")
        .replace("pivot = \"video\"", "pivot = \"vidoe\"")
        .replace("max_size = 8", "max_size = 0")
        .replace("boxes = \"boxes\"", "boxes = \"boxen\"");
    std::fs::write(&file, text).expect("written");
    let ended = Lockstep::run(&["check", file.to_str().expect("UTF-8")], &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for place in
        ["kafka.brokers", "align.pivot", "steps.faces.batch.max_size", "steps.voice.batch.max_size", "boxen"]
    {
        assert!(ended.err.contains(place), "{place} is not in:\n{}", ended.err);
    }
}

#[test]
fn an_alignment_can_be_tried_without_a_broker() {
    let samples = r#"{"stream":"cam","input":"audio","event_time_ns":0,"duration_ns":500000000,"id":"a0"}
{"stream":"cam","input":"video","event_time_ns":600000000,"id":"v0"}
{"stream":"cam","input":"audio","event_time_ns":500000000,"duration_ns":500000000,"id":"a1"}
{"stream":"cam","input":"video","event_time_ns":400000000,"id":"late"}
"#;
    let ended = Lockstep::start(&["align", "config/talking-face.toml"], &[], samples).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines: Vec<serde_json::Value> =
        ended.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let bundle = lines.iter().find(|line| line["inputs"]["video"] == serde_json::json!(["v0"]));
    let bundle = bundle.unwrap_or_else(|| panic!("no bundle of v0: {ended:?}"));
    assert_eq!(bundle["event_time_ns"], 600_000_000, "{bundle}");
    assert_eq!(bundle["inputs"]["audio"], serde_json::json!(["a0", "a1"]), "{bundle}");
    assert_eq!(bundle["complete"], true, "{bundle}");
    assert!(ended.out.contains("late"), "{ended:?}");
}
