//! `lockstep top`

use std::io::{IsTerminal, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lockstep_actors::Stop;

use super::Failure;
use super::run::stop_on_signals;
use crate::settings::parse_duration;
pub(crate) use metrics::Scrape;
use view::View;

mod metrics;
mod view;

/// How long a process may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// More than any process has to say.
const MOST: u64 = 64 << 20;

const DETAILS: &str = "\
Asks a running process for its metrics again and again, and shows where the load is: what arrives and waits, how busy
shards and instances are and how many of them the law of scaling asks for, where the time of results goes, and what was
lost to lateness or faults. Rates, latencies and counts are of the time since the last look; the curve of the lag is of
the last 60 looks. A process that is away is asked again.

  lockstep top
  lockstep top 10.0.0.7:9464 --every 5s
  lockstep top --once > load.txt";

#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    /// Where the process serves its metrics
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:9464")]
    address: String,
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = every)]
    every: Duration,
    /// Look twice, print what was between, and end
    #[arg(long)]
    once: bool,
}

fn every(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|every| (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(every))
        .ok_or_else(|| "write a length of time from 100ms to 1h, as 500ms or 2s".to_owned())
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let stop = Stop::default();
    stop_on_signals(&stop)?;
    let mut view = View::new(&args.address);
    let mut out = std::io::stdout().lock();
    // Home, and what was there is gone.
    let clear = if out.is_terminal() && !args.once { "\x1b[H\x1b[2J" } else { "" };
    let mut looks = 0;
    loop {
        let shown = match fetch(&args.address) {
            Ok(scrape) => view.show(scrape, Instant::now()),
            Err(error) if args.once => return Err(error.into()),
            Err(error) => format!("{error}; asking again\n"),
        };
        looks += 1;
        let last = args.once && looks == 2;
        // Nobody reads any more (`| head`): not an error.
        if (!args.once || last) && write!(out, "{clear}{shown}").and_then(|()| out.flush()).is_err() {
            break;
        }
        if last || stop.wait(args.every) {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Gets a process's metrics.
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
fn ask(to: &std::net::SocketAddr, host: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(to, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
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
