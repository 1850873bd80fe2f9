//! Pipelines for a test: their files, with names that no other test uses, and their topics.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use lockstep_engine::time::Timestamp;
use tempfile::TempDir;

use crate::broker::Broker;
use crate::process::{Ended, Lockstep};

/// A pipeline of frames alone: every frame is a bundle that closes at once.
pub(crate) const FACES: &str = r#"
[pipeline]
name = "NAME"
[kafka]
brokers = "127.0.0.1:9092"
[inputs.video]
content_type = "image/jpeg"
max_bytes = "256KiB"
[models]
repository = "../models"
[steps.faces]
model = "faces"
[steps.faces.inputs]
frames = { from = "video", image = { width = 320, height = 240, resize = "fit" } }
[steps.faces.outputs]
faces = { detections = { boxes = "boxes", scores = "scores", min_score = 0.9 } }
"#;

/// A pipeline of 16 bytes a record that does nothing with them.
pub(crate) const BYTES: &str = r#"
[pipeline]
name = "NAME"
[kafka]
brokers = "127.0.0.1:9092"
[inputs.bytes]
content_type = "application/octet-stream"
[models]
repository = "../models"
[steps.identity]
model = "identity"
[steps.identity.inputs]
payload = { from = "bytes", bytes = { length = 16 } }
"#;

/// A busy machine takes longer than the default to run the models of the bundles under way.
const STOP_WITHIN: &str = "stop_within = \"100s\"";

/// A pipeline on a broker.
pub(crate) struct Pipeline<'b> {
    broker: &'b Broker,
    name: String,
    directory: TempDir,
    pub(crate) file: PathBuf,
}

impl<'b> Pipeline<'b> {
    /// One of those in `config/`.
    pub(crate) fn shipped(broker: &'b Broker, name: &str) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let text = std::fs::read_to_string(format!("{root}/config/{name}.toml")).expect("it is there");
        // Its topics get names of their own; the pipeline keeps its.
        Self::of(broker, &text.replace(&format!("\"{name}."), "\"NAME."))
    }

    /// A pipeline from text, in which NAME stands for a name of its own.
    pub(crate) fn of(broker: &'b Broker, text: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("e2e-{:x}-{count}", Timestamp::now().as_nanos());
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pipeline.toml");
        let pipeline = Self { broker, name, directory, file };
        pipeline.write(&pipeline.file, text);
        pipeline
    }

    /// Writes another file for the same topics. Use the returned path instead of [`Self::file`].
    pub(crate) fn again(&self, name: &str, text: &str) -> PathBuf {
        let file = self.directory.path().join(name);
        self.write(&file, text);
        file
    }

    fn write(&self, file: &PathBuf, text: &str) {
        let models = format!("{}/models", env!("CARGO_MANIFEST_DIR"));
        let mut lines = Vec::new();
        for line in text.replace("NAME", &self.name).replace("../models", &models).lines() {
            lines.push(line.to_owned());
            let input = line.strip_prefix("[inputs.").and_then(|rest| rest.strip_suffix(']'));
            if let Some(input) = input {
                lines.push(format!("topic = {:?}", self.topic(input)));
            }
            if line == "[limits]" {
                lines.push(STOP_WITHIN.into());
            }
        }
        if !text.contains("[limits]") {
            lines.push(format!("[limits]\n{STOP_WITHIN}"));
        }
        // A member that was killed is missed sooner than after librdkafka's 45 s. In the newer protocol the broker says.
        if !text.contains("group_protocol = \"consumer\"") {
            let quick = "[kafka.consumer]\n\"session.timeout.ms\" = 6000\n\"heartbeat.interval.ms\" = 500";
            lines.push(quick.into());
        }
        std::fs::write(file, lines.join("\n")).expect("it can be written");
    }

    /// The topic of an input, or `results`, `dead-letters`, `late` or `state`.
    pub(crate) fn topic(&self, what: &str) -> String {
        format!("{}.{what}", self.name)
    }

    /// Makes the topics: on Apache Kafka by the command for it.
    pub(crate) fn create_topics(&self, inputs: &[&str], partitions: i32) {
        let Some(embedded) = &self.broker.embedded else {
            let file = self.file.to_str().expect("UTF-8");
            let args = ["topics", "create", file, "--partitions", &partitions.to_string()];
            let ended = Lockstep::run(&args, &[("LOCKSTEP_BROKERS", &self.broker.address)]);
            assert_eq!(ended.code, Some(0), "{ended:?}");
            return;
        };
        for topic in inputs.iter().chain(&["results", "dead-letters", "late", "state"]) {
            embedded.create_topic(&self.topic(topic), partitions).expect("made");
        }
    }

    /// `lockstep run`, with nothing served.
    pub(crate) fn run(&self, variables: &[(&str, &str)]) -> Lockstep {
        self.run_file(&self.file, variables)
    }

    /// `lockstep run` with another file.
    pub(crate) fn run_file(&self, file: &std::path::Path, variables: &[(&str, &str)]) -> Lockstep {
        let mut all = vec![
            ("LOCKSTEP_BROKERS", self.broker.address.as_str()),
            ("LOCKSTEP_GROUP", self.name.as_str()),
            ("LOCKSTEP_HTTP", "off"),
            ("NO_COLOR", "1"),
        ];
        all.extend(variables);
        Lockstep::start(&["run", file.to_str().expect("UTF-8")], &all, "")
    }

    /// `lockstep run --until-end`.
    pub(crate) fn run_until_end(&self) -> Ended {
        let variables = [
            ("LOCKSTEP_BROKERS", self.broker.address.as_str()),
            ("LOCKSTEP_GROUP", self.name.as_str()),
            ("LOCKSTEP_HTTP", "off"),
            ("NO_COLOR", "1"),
        ];
        Lockstep::run(&["run", "--until-end", self.file.to_str().expect("UTF-8")], &variables)
    }

    /// `lockstep publish` of the clip to the inputs' topics.
    pub(crate) fn publish_clip(&self, stream: &str, more: &[&str]) -> Lockstep {
        let (video, audio) = (self.topic("video"), self.topic("audio"));
        let (video, audio) = (format!("video={video}"), format!("audio={audio}"));
        let mut args = vec!["publish", "--brokers", &self.broker.address, "--stream", stream];
        args.extend(["--topic", &video, "--topic", &audio]);
        args.extend(more);
        args.push(crate::clip::CLIP);
        Lockstep::start(&args, &[], "")
    }
}
