//! The request for the metrics of a process.

use super::ask::ask;
use super::metrics::Scrape;

/// Gets a process's metrics.
///
/// # Errors
/// The process cannot be reached, or serves no metrics.
pub fn fetch(address: &str) -> Result<Scrape, String> {
    let answer = ask(address, ("GET", "/metrics"), None, "")?;
    match answer.status {
        200 => Ok(Scrape::parse(&answer.body)),
        _ => Err(answer.unexpected(address)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn answers(text: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut asked = [0; 1024];
            let read = stream.read(&mut asked).expect("a request");
            assert!(asked[..read].starts_with(b"GET /metrics HTTP/1.0\r\n"));
            stream.write_all(text.as_bytes()).expect("it is read");
        });
        address
    }

    #[test]
    fn fetch_reads_metrics_and_reports_other_answers() {
        let scrape = fetch(&answers("HTTP/1.0 200 OK\r\na: b\r\n\r\n# HELP x y\nx 3\n")).expect("metrics");
        assert_eq!(scrape.sum("x"), Some(3.0));
        let error = fetch(&answers("HTTP/1.0 404 Not Found\r\n\r\n")).expect_err("no metrics");
        assert!(error.contains("404") && error.contains("serves its metrics"), "{error}");
        assert!(fetch(&answers("SSH-2.0\r\n")).expect_err("no HTTP").contains("no HTTP"));
    }
}
