//! The local stack (compose, Prometheus, Grafana) compared with the pipeline and the code. It cannot run in a test: the tests
//! compare names that two sides share.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

fn read(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    let documents = YamlLoader::load_from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(documents.len(), 1, "{path}: not one document");
    json(&documents[0])
}

/// YAML as JSON, so that both are looked into alike.
fn json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => Value::from(text.as_str()),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::Boolean(truth) => Value::from(*truth),
        Yaml::Array(items) => items.iter().map(json).collect(),
        Yaml::Hash(table) => {
            table.iter().map(|(key, value)| (text(&json(key)).to_owned(), json(value))).collect()
        }
        Yaml::Null => Value::Null,
        Yaml::Alias(_) | Yaml::BadValue => panic!("{yaml:?} is not for these files"),
    }
}

fn dashboard() -> Value {
    serde_json::from_str(&read("config/grafana/dashboards/lockstep.json")).expect("JSON")
}

fn service(name: &str) -> Value {
    let compose = yaml("docker-compose.yml");
    compose["services"].get(name).unwrap_or_else(|| panic!("docker-compose.yml: no service {name}")).clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

fn pipeline() -> toml::Table {
    read("config/talking-face.toml").parse().expect("config/talking-face.toml")
}

/// The topics of the pipeline's inputs: an input without one reads the topic of its own name.
fn input_topics() -> BTreeSet<String> {
    let pipeline = pipeline();
    let inputs = pipeline["inputs"].as_table().expect("inputs");
    let topic = |(name, input): (&String, &toml::Value)| {
        input.get("topic").and_then(toml::Value::as_str).unwrap_or(name).to_owned()
    };
    inputs.iter().map(topic).collect()
}

/// The topics that compose creates, each with its partitions.
fn created_topics() -> BTreeMap<String, u32> {
    text(&service("topics")["environment"]["TOPICS"])
        .split_whitespace()
        .map(|topic| {
            let (name, partitions) = topic.rsplit_once(':').expect("NAME:PARTITIONS");
            (name.to_owned(), partitions.parse().expect("a number of partitions"))
        })
        .collect()
}

#[test]
fn compose_creates_exactly_the_topics_of_the_pipeline() {
    let pipeline = pipeline();
    let results = pipeline["results"].as_table().expect("results");
    let mut wanted = input_topics();
    wanted.extend(
        ["topic", "dead_letters", "late"].map(|key| results[key].as_str().expect("a topic").to_owned()),
    );
    assert_eq!(created_topics().into_keys().collect::<BTreeSet<_>>(), wanted);
}

#[test]
fn the_inputs_are_co_partitioned() {
    let created = created_topics();
    let partitions: BTreeSet<Option<&u32>> = input_topics().iter().map(|topic| created.get(topic)).collect();
    assert_eq!(partitions.len(), 1, "the topics of the inputs differ in partitions: {created:?}");
}

#[test]
fn every_container_speaks_to_an_address_that_another_one_serves() {
    let kafka = service("kafka");
    let inside = "INSIDE://kafka:19092";
    assert!(text(&kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"]).contains(inside));
    assert_eq!(format!("INSIDE://{}", text(&service("lockstep")["environment"]["LOCKSTEP_BROKERS"])), inside);
    let create = text(&service("topics")["command"][0]).to_owned();
    assert!(create.contains("--bootstrap-server kafka:19092"), "{create}");

    let http = text(&service("lockstep")["environment"]["LOCKSTEP_HTTP"]).to_owned();
    let port = http.rsplit(':').next().expect("a port");
    let pipeline = pipeline();
    let listen = pipeline["http"]["listen"].as_str().expect("http.listen");
    assert!(
        listen.ends_with(&format!(":{port}")),
        "compose serves metrics on {port}, the pipeline on {listen}"
    );
    let scraped = yaml("config/prometheus/prometheus.yml");
    assert_eq!(
        text(&scraped["scrape_configs"][0]["static_configs"][0]["targets"][0]),
        format!("lockstep:{port}")
    );

    let source = yaml("config/grafana/provisioning/datasources/prometheus.yml");
    assert_eq!(text(&source["datasources"][0]["url"]), "http://prometheus:9090");
    service("prometheus");
}

#[test]
fn compose_publishes_on_the_loopback_only() {
    let compose = yaml("docker-compose.yml");
    for (name, service) in compose["services"].as_object().expect("services") {
        for port in service.get("ports").map(list).unwrap_or_default() {
            assert!(text(port).starts_with("127.0.0.1:"), "{name} publishes {port}");
        }
    }
}

#[test]
fn what_compose_mounts_and_runs_is_in_the_checkout() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compose = yaml("docker-compose.yml");
    for (name, service) in compose["services"].as_object().expect("services") {
        for volume in service.get("volumes").map(list).unwrap_or_default() {
            let source = text(volume).split(':').next().expect("a source");
            let named = compose["volumes"].get(source).is_some();
            assert!(named || root.join(source).exists(), "{name} mounts {source}, which is not there");
        }
    }
    let run = service("lockstep");
    assert!(root.join(text(&run["command"][1])).exists(), "{} is not there", run["command"]);
    let mounted = service("grafana");
    let mounts: Vec<&str> = list(&mounted["volumes"]).iter().map(text).collect();
    let provider = yaml("config/grafana/provisioning/dashboards/lockstep.yml");
    let path = text(&provider["providers"][0]["options"]["path"]);
    assert!(
        mounts.contains(&format!("./config/grafana/dashboards:{path}:ro").as_str()),
        "{path} is not mounted"
    );
}

#[test]
fn compose_and_the_local_script_run_the_same_kafka() {
    let pom = read("config/kafka/pom.xml");
    let (_, rest) = pom.split_once("<artifactId>kafka_2.13</artifactId>").expect("Kafka in pom.xml");
    let version = rest.split_once("<version>").and_then(|(_, v)| v.split_once('<')).expect("a version").0;
    for name in ["kafka", "topics"] {
        assert_eq!(text(&service(name)["image"]), format!("apache/kafka:{version}"));
    }
}

/// The metrics that an expression names, without what Prometheus adds to a histogram's name.
fn metrics(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let base = |word: &str| {
        let parts = ["_bucket", "_sum", "_count"];
        parts.iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word).to_owned()
    };
    words.filter(|word| word.starts_with("lockstep_")).map(base).collect()
}

/// Where metrics are named.
fn vocabulary() -> String {
    let rest = Path::new(env!("CARGO_MANIFEST_DIR")).join("engine/src/telemetry");
    let files = fs::read_dir(&rest).unwrap_or_else(|error| panic!("{}: {error}", rest.display()));
    let text = |file: fs::DirEntry| fs::read_to_string(file.path()).expect("Rust is text");
    files
        .map(|file| text(file.expect("it can be listed")))
        .fold(read("engine/src/telemetry.rs"), |a, b| a + &b)
}

fn expressions(panel: &Value) -> impl Iterator<Item = &str> {
    list(&panel["targets"]).iter().map(|target| text(&target["expr"]))
}

/// The metrics that the dashboard shows.
fn shown() -> BTreeSet<String> {
    let dashboard = dashboard();
    list(&dashboard["panels"]).iter().flat_map(expressions).flat_map(metrics).collect()
}

#[test]
fn the_dashboard_shows_metrics_that_exist() {
    let vocabulary = vocabulary();
    let dashboard = dashboard();
    for panel in list(&dashboard["panels"]) {
        assert_eq!(panel["datasource"]["uid"], "prometheus", "{}", panel["title"]);
    }
    let source = yaml("config/grafana/provisioning/datasources/prometheus.yml");
    assert_eq!(source["datasources"][0]["uid"], "prometheus");
    let shown = shown();
    let unknown: Vec<_> =
        shown.iter().filter(|metric| !vocabulary.contains(&format!("\"{metric}\""))).collect();
    assert!(unknown.is_empty(), "the dashboard shows what engine/src/telemetry does not name: {unknown:?}");
}

#[test]
fn dashboard_shows_the_measures_and_results_of_scaling() {
    let shown = shown();
    for metric in [
        "lockstep_consumer_lag_records",
        "lockstep_oldest_event_age_seconds",
        "lockstep_arrival_records_per_second",
        "lockstep_busy_ratio",
        "lockstep_shards",
        "lockstep_scaling_wanted",
        "lockstep_desired_replicas",
        "lockstep_batch_size",
        "lockstep_ahead_partitions",
        "lockstep_shed_total",
    ] {
        assert!(shown.contains(metric), "{metric} is not shown");
    }
}

/// Prometheus calls the process that it scrapes `instance`, and a label of ours of that name `exported_instance`.
#[test]
fn instances_of_a_model_are_not_taken_for_processes() {
    let dashboard = dashboard();
    let panels = list(&dashboard["panels"]).iter();
    for expression in
        panels.flat_map(expressions).filter(|it| it.contains("lockstep_model_busy_seconds_total"))
    {
        assert!(expression.contains("exported_instance"), "{expression}");
    }
    let scraped = yaml("config/prometheus/prometheus.yml");
    assert!(scraped["scrape_configs"][0].get("honor_labels").is_none(), "then there is no such label");
}

#[test]
fn panels_have_a_number_and_a_place_of_their_own() {
    let dashboard = dashboard();
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value} is no number"));
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in list(&dashboard["panels"]) {
        assert!(ids.insert(number(&panel["id"])), "two panels are number {}", panel["id"]);
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| number(&panel["gridPos"][side]));
        assert!(x + w <= 24, "{} is not within the 24 columns", panel["title"]);
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{} lies over another panel", panel["title"]);
        }
    }
}

#[test]
fn a_metric_is_found_in_an_expression() {
    let found = metrics("sum(rate(lockstep_skew_seconds_bucket{input=\"a\"}[5m])) / lockstep_streams");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["lockstep_skew_seconds", "lockstep_streams"]);
}
