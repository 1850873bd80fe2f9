//! Asks a running process over HTTP, at its `http.listen`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use lockstep_engine::pipeline::HttpToken;

/// The longest wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// More than any process has to say.
const MOST: u64 = 64 << 20;

/// A request to a process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessRequest<'a> {
    /// `GET` or `PUT`.
    pub method: &'a str,
    /// The path, from `/` on.
    pub path: &'a str,
    /// The token that the request shows.
    pub token: Option<&'a HttpToken>,
    /// The body; empty for none.
    pub body: &'a str,
}

impl<'a> ProcessRequest<'a> {
    /// A request to read, which needs no token.
    pub fn get(path: &'a str) -> Self {
        Self { method: "GET", path, token: None, body: "" }
    }
}

/// The answer of a process.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The error for an answer that no process of Lockstep gives.
    pub fn unexpected(&self, address: &str) -> String {
        let status = self.status;
        format!(
            "{address} cannot be asked: it answers {status}; write the address of a Lockstep process (http.listen)"
        )
    }
}

/// Sends one request and returns the answer.
///
/// # Errors
/// If the process cannot be asked, or does not speak HTTP.
pub fn ask(address: &str, request: &ProcessRequest<'_>) -> Result<Answer, String> {
    let ProcessRequest { method, path, token, body } = request;
    let failed = |why: String| format!("{address} cannot be asked: {why}");
    let (mut stream, to) = connect(address).map_err(|error| failed(error.to_string()))?;
    let shown =
        token.map_or_else(String::new, |token| format!("Authorization: Bearer {}\r\n", token.reveal()));
    // In one write: a server that answers the first piece alone would close the connection before the rest.
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {to}\r\n{shown}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(&mut stream, request.as_bytes()).map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| failed("that is no HTTP".into()))?;
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| failed("that is no HTTP".into()))?;
    Ok(Answer { status, body: body.to_owned() })
}

/// Connects to the first address of a name that accepts: `localhost` may have two.
fn connect(address: &str) -> std::io::Result<(TcpStream, SocketAddr)> {
    let mut last = std::io::Error::other("there is no such address");
    for to in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&to, ANSWER_WITHIN) {
            Ok(stream) => return Ok((stream, to)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// HTTP/1.0, whose answers end with the connection.
fn exchange(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    Ok(answer)
}
