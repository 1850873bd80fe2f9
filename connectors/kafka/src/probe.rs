//! Probes the protocol of a port. librdkafka does not report why a broker closes a connection at its first request. A probe in both
//! protocols shows it.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// The limit for one question.
const WITHIN: Duration = Duration::from_secs(1);

/// Kafka's `ApiVersions` request of version 0: size, key 18, version 0, correlation id 7, no client id. Every broker that takes requests
/// without TLS answers it, with or without a user.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
/// Its correlation id, as the answer repeats it.
const NUMBER: [u8; 4] = [0, 0, 0, 7];

/// Two types of TLS records: an alert, and a handshake message.
const TLS_RECORDS: [u8; 2] = [0x15, 0x16];

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// Kafka's protocol without TLS.
    Kafka,
    /// TLS.
    Tls,
    /// Something else, or nothing at all.
    Other,
}

/// Probes an address, `host:port`.
pub(super) fn speaks(address: &str) -> Speaks {
    let answer = ask(address, &API_VERSIONS);
    if answer.get(4..8) == Some(&NUMBER) {
        return Speaks::Kafka;
    }
    let answer = ask(address, &client_hello());
    match answer.as_slice() {
        [kind, 3, ..] if TLS_RECORDS.contains(kind) => Speaks::Tls,
        _ => Speaks::Other,
    }
}

/// Sends a question, and returns the first bytes of the answer; none without an answer.
fn ask(address: &str, question: &[u8]) -> Vec<u8> {
    let mut answer = [0; 8];
    let mut exchange = || -> std::io::Result<usize> {
        let address = address.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::NotFound)?;
        let mut stream = TcpStream::connect_timeout(&address, WITHIN)?;
        stream.set_read_timeout(Some(WITHIN))?;
        stream.set_write_timeout(Some(WITHIN))?;
        stream.write_all(question)?;
        let mut length = 0;
        while length < answer.len() {
            match stream.read(answer.get_mut(length..).unwrap_or_default())? {
                0 => break,
                more => length += more,
            }
        }
        Ok(length)
    };
    let length = exchange().unwrap_or(0);
    answer.get(..length).unwrap_or_default().to_vec()
}

/// A TLS 1.2 ClientHello with a few usual ciphers. A TLS port answers with a handshake or an alert, and either identifies it.
fn client_hello() -> Vec<u8> {
    let mut hello = vec![3, 3];
    hello.extend([0x5a; 32]);
    hello.extend([0, 0, 6, 0xc0, 0x2f, 0xc0, 0x30, 0, 0x2f, 1, 0]);
    let mut message = vec![0x16, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
    message.extend(hello);
    message
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers two connections with these bytes.
    fn answering(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                let _asked = stream.read(&mut [0; 64]);
                let _gone = stream.write_all(bytes);
            }
        });
        address
    }

    #[test]
    fn probe_identifies_the_protocol_of_a_port() {
        let cases: [(&'static [u8], Speaks); 4] = [
            (&[0, 0, 0, 4, 0, 0, 0, 7, 0, 0], Speaks::Kafka),
            (&[0x15, 3, 3, 0, 2, 2, 40], Speaks::Tls),
            (b"HTTP/1.1 400 Bad Request\r\n", Speaks::Other),
            (&[], Speaks::Other),
        ];
        for (answer, expected) in cases {
            assert_eq!(speaks(&answering(answer)), expected, "{answer:?}");
        }
        assert_eq!(speaks("127.0.0.1:1"), Speaks::Other);
    }
}
