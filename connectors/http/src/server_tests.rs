use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lockstep_engine::pipeline::HttpToken;
use lockstep_telemetry::Recorder;
use parking_lot::Mutex;

use super::*;
use crate::health::Health;
use crate::scaling::{Counted, NotSet, Scaling, ScalingCount, ScalingCounts};
use crate::status::{InputStatus, STATUS_VERSION, StageScaling, StatusDocument};

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    request(address, &format!("GET {path}"), "", "")
}

fn request(address: SocketAddr, what: &str, more: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let length = body.len();
    let request = format!(
        "{what} HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, text)
}

fn server(health: HealthCheck) -> HttpHandle {
    HttpServer::start("127.0.0.1:0", Endpoints { health, ..endpoints() }).expect("a free port")
}

/// The endpoints of a process that is well and has no numbers to change.
fn endpoints() -> Endpoints {
    Endpoints {
        metrics: Recorder::new().metrics(),
        health: well(),
        status: Arc::new(StatusDocument::default),
        scaling: None,
    }
}

/// Up to four shards.
impl Scaling for Mutex<Option<usize>> {
    fn counts(&self) -> ScalingCounts {
        let desired = *self.lock();
        let shards = ScalingCount { current: 1, desired, manual_override: desired.is_some() };
        ScalingCounts { shards, instances: BTreeMap::new() }
    }

    fn set_desired(&self, what: Counted<'_>, count: Option<usize>) -> Result<(), NotSet> {
        if what != Counted::Shards {
            return Err(NotSet::Unknown("there is no such step".into()));
        }
        if count.is_some_and(|count| count > 4) {
            return Err(NotSet::Outside("there can be 1 to 4 shards".into()));
        }
        *self.lock() = count;
        Ok(())
    }
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn changeable(token: Option<&str>) -> (HttpHandle, Arc<Mutex<Option<usize>>>) {
    let scaling: Arc<Mutex<Option<usize>>> = Arc::default();
    let token = token.map(|token| HttpToken::new(token).expect("long enough"));
    let changes = Changes { scaling: scaling.clone(), token };
    let server = HttpServer::start("127.0.0.1:0", Endpoints { scaling: Some(changes), ..endpoints() });
    (server.expect("a free port"), scaling)
}

#[test]
fn server_changes_numbers_with_the_token() {
    let (server, scaling) = changeable(Some(TOKEN));
    let put =
        |path: &str, more: &str, body: &str| request(server.address(), &format!("PUT {path}"), more, body);
    let authorized = format!("Authorization: Bearer {TOKEN}\r\n");
    let (status, text) = put("/scaling/shards", &authorized, r#"{"count": 3}"#);
    assert_eq!(status, 200, "{text}");
    assert!(
        text.ends_with(r#"{"shards":{"current":1,"desired":3,"manual_override":true},"instances":{}}"#),
        "{text}"
    );
    assert_eq!(put("/scaling/shards", &authorized, r#"{"count": null}"#).0, 200);
    let refused = [
        ("/scaling/shards", r#"{"count": 5}"#, 422, "1 to 4"),
        ("/scaling/shards", "4", 400, "write {\"count\": 4}"),
        ("/scaling/shards", r#"{"count": -1}"#, 400, "count"),
        ("/scaling/instances/faces", r#"{"count": 2}"#, 404, "no such step"),
    ];
    for (path, body, expected, says) in refused {
        let (status, text) = put(path, &authorized, body);
        assert_eq!(status, expected, "{text}");
        assert!(text.contains(says), "{text}");
    }
    assert_ne!(put("/scaling/shards", &authorized, &" ".repeat(5_000)).0, 200, "a body larger than allowed");
    assert_eq!(*scaling.lock(), None);
}

#[test]
fn server_changes_nothing_without_the_token() {
    let (server, scaling) = changeable(Some(TOKEN));
    let (open, _) = changeable(None);
    let wrong = [
        String::new(),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: Bearer {}\r\n", &TOKEN[1..]),
        format!("Authorization: Bearer {TOKEN}0\r\n"),
        format!("Authorization: Basic {TOKEN}\r\n"),
        format!("Authorization: {TOKEN}\r\n"),
        "Authorization: Bearer 0123456789abcdef0123456789abcdeF\r\n".to_owned(),
        format!("X-Forwarded-For: 127.0.0.1\r\nCookie: token={TOKEN}\r\n"),
    ];
    for more in &wrong {
        let (status, text) = request(server.address(), "PUT /scaling/shards", more, r#"{"count": 2}"#);
        assert_eq!(status, 401, "{more:?}: {text}");
        assert!(text.contains("LOCKSTEP_HTTP_TOKEN") && !text.contains(TOKEN), "{text}");
    }
    assert_eq!(*scaling.lock(), None);
    let authorized = format!("Authorization: Bearer {TOKEN}\r\n");
    for more in [&*authorized, ""] {
        let (status, text) = request(open.address(), "PUT /scaling/shards", more, r#"{"count": 2}"#);
        assert_eq!(status, 403, "{text}");
        assert!(text.contains("LOCKSTEP_HTTP_TOKEN or http.token_file"), "{text}");
    }
    assert_eq!(get(server.address(), "/scaling").0, 200, "any reader of the metrics reads the numbers");
}

fn well() -> HealthCheck {
    Arc::new(|| Health { ready: true, live: true, details: serde_json::json!({ "streams": 3 }) })
}

#[test]
fn server_renders_metrics_with_buckets_by_their_unit() {
    let recorder = Recorder::new();
    let metrics = recorder.metrics();
    let server = HttpServer::start("127.0.0.1:0", Endpoints { metrics, ..endpoints() }).expect("a free port");
    observe(&recorder, "lockstep_test_seconds", 0.003);
    observe(&recorder, "lockstep_test_batch_size", 5.0);
    let (status, text) = get(server.address(), "/metrics");
    assert_eq!(status, 200);
    assert!(text.contains("text/plain; version=0.0.4"), "{text}");
    for line in [
        "lockstep_test_seconds_bucket{le=\"0.0025\"} 0",
        "lockstep_test_seconds_bucket{le=\"0.005\"} 1",
        "lockstep_test_seconds_bucket{le=\"30\"} 1",
        "lockstep_test_batch_size_bucket{le=\"4\"} 0",
        "lockstep_test_batch_size_bucket{le=\"6\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
}

fn observe(recorder: &Recorder, name: &'static str, value: f64) {
    use metrics::{Key, Level, Metadata, Recorder as _};
    let metadata = Metadata::new("test", Level::INFO, None);
    recorder.register_histogram(&Key::from_static_name(name), &metadata).record(value);
}

#[test]
fn server_answers_health_with_200_when_ready_else_503() {
    let is_ready = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&is_ready);
    let server = server(Arc::new(move || Health {
        ready: seen.load(Ordering::SeqCst),
        live: true,
        details: serde_json::json!({ "streams": 3 }),
    }));
    let (status, text) = get(server.address(), "/health");
    assert_eq!(status, 200);
    assert!(text.ends_with(r#"{"ready":true,"live":true,"details":{"streams":3}}"#), "{text}");
    is_ready.store(false, Ordering::SeqCst);
    assert_eq!(get(server.address(), "/health").0, 503);
    assert_eq!(get(server.address(), "/health/ready").0, 503);
    assert_eq!(get(server.address(), "/health/live").0, 200);
}

#[test]
fn server_shows_the_status_that_a_client_reads_back() {
    let input =
        InputStatus { lag_records: Some(42), oldest_event_age_seconds: Some(1.5), ..Default::default() };
    let mut expected = StatusDocument {
        version: STATUS_VERSION,
        pipeline: "faces".into(),
        ready: true,
        inputs: [("video".to_owned(), input)].into(),
        ..StatusDocument::default()
    };
    expected.shards.scaling = StageScaling { current: 2, desired: Some(3), ..StageScaling::default() };
    let shown = expected.clone();
    let server = HttpServer::start(
        "127.0.0.1:0",
        Endpoints { status: Arc::new(move || shown.clone()), ..endpoints() },
    );
    let (status, text) = get(server.expect("a free port").address(), "/v1/status");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    assert!(status == 200 && head.contains("application/json"), "{head}");
    assert_eq!(serde_json::from_str::<StatusDocument>(body).expect("a status"), expected);
    assert!(
        body.contains(r#""version":1,"pipeline":"faces""#) && body.contains(r#""lag_records":42"#),
        "{body}"
    );
}

#[test]
fn status_is_understood_by_older_and_newer_processes() {
    let newer = r#"{"version": 1, "pipeline": "faces", "moon": {"phase": 3},
                    "shards": {"scaling": {"current": 2, "colour": "red"}}, "load": {"desired_replicas": null}}"#;
    let read: StatusDocument = serde_json::from_str(newer).expect("a status");
    assert_eq!((read.shards.scaling.current, read.load.desired_replicas), (2, None));
    assert!(
        serde_json::from_str::<StatusDocument>(r#"{"ready": true}"#).is_err(),
        "the JSON of another server"
    );
}

#[test]
fn server_lists_its_paths_for_an_unknown_path() {
    let server = server(well());
    let (status, text) = get(server.address(), "/metric");
    assert_eq!(status, 404);
    assert!(text.contains("/metrics"), "{text}");
}

#[test]
fn stopped_server_releases_its_port() {
    let server = server(well());
    let address = server.address();
    assert_eq!(get(address, "/health").0, 200);
    server.stop();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn server_names_a_port_in_use_with_the_remedy() {
    let taken = server(well());
    let listen = taken.address().to_string();
    let error = HttpServer::start(&listen, endpoints()).err().expect("the port is taken");
    let text = error.to_string();
    assert!(text.contains(&listen) && text.contains("http.listen"), "{text}");
    let error = HttpServer::start("nonsense", endpoints()).err().expect("no address");
    assert!(error.to_string().contains("127.0.0.1:9464"), "{error}");
}
