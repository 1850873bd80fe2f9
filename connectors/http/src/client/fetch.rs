//! The request for the status of a process.

use super::ask::{ProcessRequest, ask};
use crate::status::{STATUS_PATH, STATUS_VERSION, StatusDocument};

/// Gets a process's status.
///
/// # Errors
/// The process cannot be reached, or serves no status that this version reads.
pub fn fetch_status(address: &str) -> Result<StatusDocument, String> {
    let answer = ask(address, &ProcessRequest::get(STATUS_PATH))?;
    match answer.status {
        200 => read(&answer.body).map_err(|wrong| format!("http://{address}{STATUS_PATH}: {wrong}")),
        404 => Err(format!(
            "http://{address}{STATUS_PATH}: not found; write the address of a Lockstep process (http.listen), and update a \
             process that is older than this command"
        )),
        _ => Err(answer.unexpected(address)),
    }
}

fn read(body: &str) -> Result<StatusDocument, String> {
    let status: StatusDocument = serde_json::from_str(body).map_err(|error| {
        format!("no status of Lockstep ({error}); write the address of a Lockstep process (http.listen)")
    })?;
    if status.version != STATUS_VERSION {
        let version = status.version;
        return Err(format!(
            "the status has version {version}, and this command reads version {STATUS_VERSION}; use the `lockstep` of the process"
        ));
    }
    Ok(status)
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
            assert!(asked[..read].starts_with(b"GET /v1/status HTTP/1.0\r\n"));
            stream.write_all(text.as_bytes()).expect("it is read");
        });
        address
    }

    #[test]
    fn fetch_reads_a_status() {
        let address = answers("HTTP/1.0 200 OK\r\na: b\r\n\r\n{\"version\": 1, \"pipeline\": \"faces\"}");
        assert_eq!(fetch_status(&address).expect("a status").pipeline, "faces");
    }

    #[test]
    fn fetch_names_the_place_and_the_remedy_of_other_answers() {
        let others = [
            ("HTTP/1.0 404 Not Found\r\n\r\n", "older than this command"),
            ("HTTP/1.0 503 Service Unavailable\r\n\r\n", "it answers 503"),
            ("HTTP/1.0 200 OK\r\n\r\n# HELP x y\nx 3\n", "no status of Lockstep"),
            ("HTTP/1.0 200 OK\r\n\r\n{\"status\": \"UP\"}", "missing field `version`"),
            (
                "HTTP/1.0 200 OK\r\n\r\n{\"version\": 2, \"pipeline\": \"faces\"}",
                "use the `lockstep` of the process",
            ),
            ("SSH-2.0\r\n", "no HTTP"),
        ];
        for (answer, says) in others {
            let address = answers(answer);
            let error = fetch_status(&address).expect_err("it is refused");
            assert!(error.contains(&address) && error.contains(says), "{error}");
        }
    }
}
