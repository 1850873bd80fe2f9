use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::http::health::Health;
use crate::http::recorder::Recorder;

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, text)
}

fn server(health: HealthCheck) -> HttpHandle {
    HttpServer::start("127.0.0.1:0", Recorder::new().metrics(), health).expect("a free port")
}

fn well() -> HealthCheck {
    Arc::new(|| Health { ready: true, live: true, details: serde_json::json!({ "streams": 3 }) })
}

#[test]
fn metrics_are_rendered_with_buckets_by_their_unit() {
    let recorder = Recorder::new();
    let handle = recorder.metrics();
    let server = HttpServer::start("127.0.0.1:0", handle, well()).expect("a free port");
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
fn health_is_200_when_ready_and_503_when_not() {
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
fn another_path_says_which_there_are() {
    let server = server(well());
    let (status, text) = get(server.address(), "/metric");
    assert_eq!(status, 404);
    assert!(text.contains("/metrics"), "{text}");
}

#[test]
fn a_stopped_server_lets_go_of_its_port() {
    let server = server(well());
    let address = server.address();
    assert_eq!(get(address, "/health").0, 200);
    server.stop();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let taken = server(well());
    let listen = taken.address().to_string();
    let error =
        HttpServer::start(&listen, Recorder::new().metrics(), well()).err().expect("the port is taken");
    let text = error.to_string();
    assert!(text.contains(&listen) && text.contains("http.listen"), "{text}");
    let error = HttpServer::start("nonsense", Recorder::new().metrics(), well()).err().expect("no address");
    assert!(error.to_string().contains("127.0.0.1:9464"), "{error}");
}
