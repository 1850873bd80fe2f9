//! What others do to the inputs while they are read: other partitioners, more partitions, another pipeline in the group.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lockstep_engine::ingest::partitioner::Partitioner;
use lockstep_engine::time::Timestamp;
use tempfile::TempDir;

use crate::broker::Broker;
use crate::process::{Lockstep, PATIENCE};

const PARTITIONS: i32 = 12;

/// A pipeline of two inputs whose pivot waits for the nearest sample, under names of its own.
struct Two<'b> {
    broker: &'b Broker,
    name: String,
    directory: TempDir,
}

impl<'b> Two<'b> {
    fn new(broker: &'b Broker) -> Self {
        let name = format!("wild-{:x}", Timestamp::now().as_nanos());
        let two = Self { broker, name, directory: tempfile::tempdir().expect("a directory") };
        let file = two.file("both", &["cam", "sensor"]);
        let partitions = PARTITIONS.to_string();
        let made = Lockstep::run(&["topics", "create", &file, "--partitions", &partitions], &[]);
        assert_eq!(made.code, Some(0), "{made:?}");
        two
    }

    fn topic(&self, input: &str) -> String {
        format!("{}.{input}", self.name)
    }

    /// The file of a pipeline in the group that reads these inputs.
    fn file(&self, name: &str, inputs: &[&str]) -> String {
        let (broker, own, root) = (&self.broker.address, &self.name, env!("CARGO_MANIFEST_DIR"));
        let mut text = format!(
            "[pipeline]\nname = \"{own}\"\n[kafka]\nbrokers = \"{broker}\"\ngroup = \"{own}\"\n\
             [models]\nrepository = \"{root}/models\"\n[steps.id]\nmodel = \"identity\"\n[steps.id.inputs]\n\
             payload = {{ from = \"cam\", bytes = {{ length = 8 }} }}\n[http]\nlisten = \"127.0.0.1:0\"\n"
        );
        if inputs.len() > 1 {
            text.push_str("[align]\npivot = \"cam\"\nsensor = { nearest = { tolerance = \"20ms\" } }\n");
        }
        for input in inputs {
            let topic = self.topic(input);
            text.push_str(&format!(
                "[inputs.{input}]\ntopic = \"{topic}\"\ncontent_type = \"application/octet-stream\"\n"
            ));
        }
        let file = self.directory.path().join(format!("{name}.toml"));
        std::fs::write(&file, text).expect("it can be written");
        file.to_str().expect("UTF-8").to_owned()
    }

    fn run(&self, name: &str, inputs: &[&str]) -> Lockstep {
        Lockstep::start(&["run", &self.file(name, inputs)], &[("NO_COLOR", "1")], "")
    }
}

/// The answer of a process under a path.
fn get(log: &str, path: &str) -> String {
    let (_, rest) = log.split_once("metrics=http://").expect("it says where it listens");
    let address = rest.split('/').next().expect("an address");
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

/// Waits for a condition that no log line reports.
fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The camera's client is Java's; the sensor's is librdkafka with its own default. Two processes: none sees both parts of most
/// streams.
#[test]
fn two_partitioners_are_said_by_each_process_with_the_remedy() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let two = Two::new(&broker);
    let mut processes = [two.run("one", &["cam", "sensor"]), two.run("two", &["cam", "sensor"])];
    for process in &mut processes {
        let log = process.says("metrics=http://");
        until(|| get(&log, "/health").contains("\"partitions\":12"));
    }
    let mut producer = broker.producer();
    for n in 0..60 {
        let stream = format!("cam-{n}");
        for (input, rule) in [("cam", Partitioner::Murmur2), ("sensor", Partitioner::Crc32)] {
            let partition = rule.partition(stream.as_bytes(), PARTITIONS);
            producer.send_to(&two.topic(input), partition, Some(&stream), &[], vec![0; 8]);
        }
    }
    producer.finish();
    for process in &mut processes {
        process.says("sensor: CRC32 (librdkafka's default, consistent_random)");
        process.says("cam: murmur2 (the Java client's default)");
        let log = process.says("in the producers of sensor set partitioner=murmur2_random");
        assert!(log.contains("WARN the producers of two inputs choose partitions differently"), "{log}");
        let health = get(&log, "/health");
        assert!(health.contains("\"partitioners\":\"inputs cam and sensor"), "{health}");
        let metrics = get(&log, "/metrics");
        assert!(metrics.contains("lockstep_copartition_conflict{input=\"sensor\"} 1"), "{metrics}");
    }
}

#[test]
fn second_pipeline_in_the_group_ends_the_one_without_partitions() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let two = Two::new(&broker);
    let mut both = two.run("both", &["cam", "sensor"]);
    both.says("partitions assigned partitions=24");
    let mut other = two.run("other", &["cam"]);
    let ended = both.wait();
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    for words in ["partitions of some inputs without those of the others", "sensor 0-11", "kafka.group"] {
        assert!(ended.err.contains(words), "{words} in {}", ended.err);
    }
    other.assert_alive();
}

#[test]
fn partitions_added_to_one_input_end_the_pipeline() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let two = Two::new(&broker);
    let mut process = two.run("both", &["cam", "sensor"]);
    process.says("partitions assigned partitions=24");
    add_partitions(&broker.address, &two.topic("cam"), PARTITIONS * 2);
    let ended = process.wait();
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let each = format!("{} has 24, {} has 12", two.topic("cam"), two.topic("sensor"));
    for words in ["different numbers of partitions now", each.as_str(), "--partitions 24"] {
        assert!(ended.err.contains(words), "{words} in {}", ended.err);
    }
}

#[test]
fn a_second_process_with_the_same_name_is_said_by_the_first() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let two = Two::new(&broker);
    let named = |name| {
        let file = two.file(name, &["cam", "sensor"]);
        let text = std::fs::read_to_string(&file).expect("it is there");
        std::fs::write(&file, format!("{text}[kafka.consumer]\n\"group.instance.id\" = \"one\"\n"))
            .expect("it can be written");
        Lockstep::start(&["run", &file], &[("NO_COLOR", "1")], "")
    };
    let mut first = named("first");
    first.says("partitions assigned partitions=24");
    let mut second = named("second");
    let ended = first.wait();
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    for words in [
        "kafka.consumer.\"group.instance.id\"",
        "the name \"one\" too",
        "give each process a name of its own",
    ] {
        assert!(ended.err.contains(words), "{words} in {}", ended.err);
    }
    second.says("partitions assigned partitions=24");
}

#[test]
fn killed_process_gets_its_static_membership_back() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let two = Two::new(&broker);
    let file = two.file("both", &["cam", "sensor"]);
    let text = std::fs::read_to_string(&file).expect("it is there");
    let text = text.replacen("[kafka]\n", "[kafka]\ngroup_protocol = \"consumer\"\n", 1);
    std::fs::write(&file, format!("{text}[kafka.consumer]\n\"group.instance.id\" = \"one\"\n"))
        .expect("it can be written");
    let start = || Lockstep::start(&["run", &file], &[("NO_COLOR", "1")], "");
    let mut first = start();
    first.says("partitions assigned partitions=24");
    first.kill();
    let mut second = start();
    let told = second.says("blocked work=\"read\" on=\"group\"");
    for words in
        ["holds the place of another process with the group.instance.id", "group.consumer.session.timeout.ms"]
    {
        assert!(told.contains(words), "{words} in {told}");
    }
    second.says("partitions assigned partitions=24");
    second.says("no longer blocked work=\"read\" on=\"group\"");
}

#[test]
fn deleted_input_ends_the_process_with_its_name() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let two = Two::new(&broker);
    let mut process = two.run("both", &["cam", "sensor"]);
    process.says("partitions assigned partitions=24");
    let topic = two.topic("sensor");
    delete_topic(&broker.address, &topic);
    let ended = process.wait();
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    for words in [format!("the topic {topic} was deleted"), format!("make {topic} again")] {
        assert!(ended.err.contains(&words), "{words} in {}", ended.err);
    }
}

#[test]
fn deleted_only_input_is_named_without_a_commit() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let two = Two::new(&broker);
    let mut process = two.run("one", &["cam"]);
    process.says("partitions assigned partitions=12");
    let topic = two.topic("cam");
    delete_topic(&broker.address, &topic);
    process.says(&format!("topic {topic} does not exist, or this user may not see it"));
    assert_eq!(process.terminate().code, Some(0));
}

/// Kafka's request `DeleteTopics` (20), version 1.
fn delete_topic(address: &str, topic: &str) {
    let mut body = Vec::new();
    body.extend(1_i32.to_be_bytes());
    text(&mut body, topic);
    body.extend(30_000_i32.to_be_bytes());
    ask(address, (20, 1), topic, &body);
}

/// Kafka's request `CreatePartitions` (37), version 0: Lockstep itself never adds any.
fn add_partitions(address: &str, topic: &str, count: i32) {
    let mut body = Vec::new();
    body.extend(1_i32.to_be_bytes());
    text(&mut body, topic);
    body.extend(count.to_be_bytes());
    // No assignment to brokers of its own, half a minute, and not only to try.
    body.extend((-1_i32).to_be_bytes());
    body.extend(30_000_i32.to_be_bytes());
    body.push(0);
    ask(address, (37, 0), topic, &body);
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend(i16::try_from(text.len()).expect("short").to_be_bytes());
    body.extend(text.as_bytes());
}

/// Sends a request, by its number and version, that is about one topic, and looks at what the broker says of that.
fn ask(address: &str, (number, version): (i16, i16), topic: &str, body: &[u8]) {
    let mut request = Vec::new();
    request.extend(number.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    text(&mut request, "wild");
    request.extend(body);
    let mut stream = TcpStream::connect(address).expect("the broker listens");
    stream.write_all(&i32::try_from(request.len()).expect("short").to_be_bytes()).expect("sent");
    stream.write_all(&request).expect("sent");
    let mut size = [0; 4];
    stream.read_exact(&mut size).expect("answered");
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).expect("positive")];
    stream.read_exact(&mut answer).expect("answered");
    // Correlation, time throttled, one topic: its name, and then its error.
    let error = answer.get(4 + 4 + 4 + 2 + topic.len()..).and_then(|rest| rest.first_chunk::<2>());
    assert_eq!(error, Some(&[0, 0]), "{answer:?}");
}
