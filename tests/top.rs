//! `lockstep top` as its users have it, over a process that is played by this test.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

fn top(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lockstep")).arg("top").args(args).output().expect("it runs")
}

#[test]
fn two_looks_are_enough_to_tell_rates() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let process = std::thread::spawn(move || {
        for records in [100, 300] {
            let (stream, _) = listener.accept().expect("a look");
            let mut stream = BufReader::new(stream);
            // All of it: what is left unread when the connection closes takes the answer along.
            let mut line = String::from("asked");
            while !line.trim().is_empty() {
                line.clear();
                stream.read_line(&mut line).expect("a request");
            }
            let mut stream = stream.into_inner();
            let body = format!(
                "lockstep_records_total{{input=\"video\"}} {records}\nlockstep_desired_replicas 2.5\n"
            );
            write!(stream, "HTTP/1.0 200 OK\r\n\r\n{body}").expect("it is read");
        }
    });
    let output = top(&[&address, "--once", "--every", "200ms"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    process.join().expect("both looks were answered");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(
        text.contains("2.50 asked for") && text.contains("/s taken in") && !text.contains("- taken in"),
        "{text}"
    );
}

#[test]
fn a_process_that_is_away_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let output = top(&[&address, "--once"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && told.contains(&address) && told.contains("cannot be asked"),
        "{told}"
    );
    let told = String::from_utf8_lossy(&top(&["--every", "1"]).stderr).into_owned();
    assert!(told.contains("100ms to 1h"), "{told}");
}
