//! The secured broker, and pipelines that use it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::process::{Lockstep, PATIENCE};

/// The brokers that `KAFKA_SECURED` describes.
pub(super) struct Secured {
    description: serde_json::Value,
}

impl Secured {
    /// The broker that `KAFKA_SECURED` names. Without one the test has not run, and that is said.
    pub(super) fn broker() -> Option<Self> {
        static SAY: Once = Once::new();
        if let Ok(path) = std::env::var("KAFKA_SECURED") {
            let text = std::fs::read_to_string(path).expect("the description can be read");
            return Some(Self { description: serde_json::from_str(&text).expect("JSON") });
        }
        let required = std::env::var("LOCKSTEP_REQUIRE_KAFKA").is_ok_and(|value| value == "1");
        assert!(!required, "LOCKSTEP_REQUIRE_KAFKA=1, but KAFKA_SECURED names no broker");
        SAY.call_once(|| {
            let _lost = writeln!(
                std::io::stderr(),
                "\nNOT RUN: the suite of access. KAFKA_SECURED is not set; `config/kafka/kafka run --secured -- cargo test` \
                 sets it.\n"
            );
        });
        None
    }

    /// The address of a listener.
    pub(super) fn address(&self, listener: &str) -> String {
        self.description[listener].as_str().expect(listener).to_owned()
    }

    /// The path of a file beside the broker's certificates.
    pub(super) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.description["directory"].as_str().expect("a directory"))
    }

    /// A client of the tests' own, which may do everything.
    pub(super) fn client(&self) -> Broker {
        Broker { embedded: None, address: self.address("plaintext") }
    }

    /// A pipeline of one input, whose topics have been made.
    pub(super) fn pipeline(&self, listener: &str, properties: &[(&str, &str)]) -> Pipeline {
        self.pipeline_with(&self.address(listener), properties, false)
    }

    /// The same with a second input, which its one step does not take from.
    pub(super) fn pipeline_of_two(&self, listener: &str, properties: &[(&str, &str)]) -> Pipeline {
        self.pipeline_with(&self.address(listener), properties, true)
    }

    fn pipeline_with(&self, address: &str, properties: &[(&str, &str)], has_two: bool) -> Pipeline {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("access-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().expect("a folder");
        let more = format!(
            "[inputs.other]\ntopic = \"{name}.other\"\ncontent_type = \"application/octet-stream\"\n\
             idle_timeout = \"500ms\"\n[align]\npivot = \"events\"\nmax_wait = \"1s\"\n\
             other = {{ nearest = {{ tolerance = \"1ms\" }}, missing = \"emit\" }}\n"
        );
        let more = if has_two { &*more } else { "" };
        let write = |file: &str, address: &str, properties: &[(&str, &str)]| {
            let properties: String =
                properties.iter().map(|(key, value)| format!("{key:?} = {value:?}\n")).collect();
            let text = format!(
                "[pipeline]\nname = \"{name}\"\n[kafka]\nbrokers = \"{address}\"\n[kafka.properties]\n{properties}\
                 [inputs.events]\ntopic = \"{name}.events\"\ncontent_type = \"application/octet-stream\"\n\
                 [models]\nrepository = \"{}/models\"\n[steps.id]\nmodel = \"identity\"\n[steps.id.inputs]\n\
                 payload = {{ from = \"events\", bytes = {{ length = 8 }} }}\n[http]\nlisten = \"127.0.0.1:0\"\n{more}",
                env!("CARGO_MANIFEST_DIR")
            );
            let path = folder.path().join(file);
            std::fs::write(&path, text).expect("written");
            path.to_str().expect("UTF-8").to_owned()
        };
        let plain = write("plain.toml", &self.address("plaintext"), &[]);
        let config = write("pipeline.toml", address, properties);
        let made = Lockstep::run(&["topics", "create", &plain, "--partitions", "1"], &[]);
        assert_eq!(made.code, Some(0), "{}", made.err);
        Pipeline { name, config, _folder: folder }
    }
}

/// A pipeline's configuration.
pub(super) struct Pipeline {
    pub(super) name: String,
    pub(super) config: String,
    _folder: tempfile::TempDir,
}

impl Pipeline {
    pub(super) fn topic(&self, what: &str) -> String {
        format!("{}.{what}", self.name)
    }

    /// Runs it in a process of its own.
    pub(super) fn run(&self) -> Lockstep {
        Lockstep::start(&["run", &self.config], &[], "")
    }
}

/// The readiness and the field `trouble` of the health endpoint.
pub(super) fn health(process: &mut Lockstep) -> (bool, String) {
    let log = process.says("health=http://");
    let at = log.split("health=http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
    let mut stream = TcpStream::connect(at).expect("it listens");
    write!(stream, "GET /health HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let is_ready = answer.starts_with("HTTP/1.1 200");
    assert!(is_ready || answer.starts_with("HTTP/1.1 503"), "{answer}");
    let body = answer.split("\r\n\r\n").nth(1).expect("a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    (is_ready, body["details"]["trouble"].as_str().unwrap_or_default().to_owned())
}

/// Waits until health says so.
pub(super) fn until_health(process: &mut Lockstep, wanted: impl Fn(bool, &str) -> bool) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let (is_ready, trouble) = health(process);
        if wanted(is_ready, &trouble) {
            return trouble;
        }
        assert!(Instant::now() < until, "ready is {is_ready} and trouble {trouble:?}");
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

/// The number of lines in which a condition with these words begins.
pub(super) fn blocked_lines(log: &str, words: &str) -> usize {
    log.lines()
        .filter(|line| line.contains(" blocked ") && !line.contains("still") && line.contains(words))
        .count()
}
