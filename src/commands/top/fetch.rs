//! Asks a process for its metrics.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::metrics::Scrape;

/// How long a process may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// More than any process has to say.
const MOST: u64 = 64 << 20;

/// Gets a process's metrics.
///
/// # Errors
/// If it cannot be asked, or gives none.
pub(crate) fn fetch(address: &str) -> Result<Scrape, String> {
    let failed = |why: String| format!("{address} cannot be asked: {why}");
    let mut addresses = address.to_socket_addrs().map_err(|error| failed(error.to_string()))?;
    let to = addresses.next().ok_or_else(|| failed("there is no such address".into()))?;
    let answer = ask(&to, address).map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| failed("that is no HTTP".into()))?;
    let status = head.split_whitespace().nth(1).unwrap_or("nothing");
    if status != "200" {
        return Err(failed(format!("it answers {status}; is that where Lockstep serves its metrics?")));
    }
    Ok(Scrape::parse(body))
}

/// HTTP/1.0, whose answers end with the connection.
fn ask(to: &SocketAddr, host: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(to, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    // At once: whoever answers the first piece of it alone would close the connection on the rest.
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
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
    fn metrics_are_fetched_and_what_is_none_is_said() {
        let scrape = fetch(&answers("HTTP/1.0 200 OK\r\na: b\r\n\r\n# HELP x y\nx 3\n")).expect("metrics");
        assert_eq!(scrape.sum("x"), Some(3.0));
        let error = fetch(&answers("HTTP/1.0 404 Not Found\r\n\r\n")).expect_err("no metrics");
        assert!(error.contains("404") && error.contains("serves its metrics"), "{error}");
        assert!(fetch(&answers("SSH-2.0\r\n")).expect_err("no HTTP").contains("no HTTP"));
    }
}
