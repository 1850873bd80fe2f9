//! `lockstep top`: the status of a running process on a screen, as lines, or as a plot.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lockstep_actors::Stop;
use lockstep_engine::time::Timestamp;
use lockstep_http::StatusDocument;
use lockstep_http::client::fetch_status;
use lockstep_settings::parse_duration;

use super::Failure;
use super::run::stop_on_signals;
use crate::plot::course;
use crate::plot::file::PlotFile;
use look::Look;
use recording::Recording;
use view::View;

mod lines;
mod look;
mod recording;
#[cfg(test)]
mod testing;
mod view;

/// The number of looks in a row without an answer after which a plotted process counts as gone.
const AWAY: u32 = 3;

const DETAILS: &str = "\
Reads the status of a running process (/v1/status) again and again, and shows its load: records that arrive and wait, busy shards
and instances and their desired numbers, the parts of the latency, and records lost to lateness or faults. Rates,
latencies and counts cover the time since the last look; the curve of the lag covers the last 60 looks. If the process
does not answer, it retries.

PLOT
With --plot it draws the measures over time at the end, like `lockstep simulate --plot`: arrivals, results, lag, age,
shards, instances and latency. It ends on Ctrl-C, after --seconds, or if a process that has answered does not answer
three times in a row. Without a terminal it prints a line for each look. A plot has at most about 2000 points: in a long
run each point is the maximum of several looks. The 99th percentile of the latency is the bound of its bucket.

  lockstep top
  lockstep top 10.0.0.7:9464 --every 5s
  lockstep top --once > load.txt
  lockstep top --plot load.svg --seconds 600 > load.txt";

#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    /// Address of the process (http.listen)
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:9464")]
    address: String,
    /// Interval of the looks
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = every)]
    every: Duration,
    /// Look twice, print the difference, and end
    #[arg(long, conflicts_with_all = ["plot", "seconds"])]
    once: bool,
    /// Draw all looks at the end
    #[arg(long, value_name = "FILE.svg", value_parser = crate::plot::file::target())]
    plot: Option<PathBuf>,
    /// Seconds after which it ends
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    seconds: Option<u32>,
}

fn every(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|every| (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(every))
        .ok_or_else(|| "write a duration from 100ms to 1h, as 500ms or 2s".to_owned())
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    // Before the first look, so that a wrong path fails at once.
    let plot = args.plot.as_deref().map(PlotFile::open).transpose()?;
    let stop = Stop::default();
    stop_on_signals(&stop)?;
    let mut top = Top::new(&args);
    loop {
        let began = top.began;
        let goes_on = match fetch_status(&args.address) {
            Ok(status) => top.seen(status),
            Err(error) if args.once => return Err(error.into()),
            Err(error) => top.away(&error),
        };
        let left = args.seconds.map(|all| Duration::from_secs(all.into()).saturating_sub(began.elapsed()));
        let pause = left.map_or(args.every, |left| left.min(args.every));
        if !goes_on || pause.is_zero() || stop.wait(pause) {
            break;
        }
    }
    if let (Some(plot), Some(recording)) = (plot, top.recording) {
        let Some(picture) = recording.picture() else {
            return Err(format!("{} has not answered, so there is nothing to draw", args.address).into());
        };
        plot.write(&course::draw(&picture))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The form in which looks are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Each screen replaces the one before.
    Screens,
    /// Screens one after the other.
    Pages,
    /// Only the second look.
    Once,
    /// A line for each look.
    Lines,
}

/// The state that is kept from look to look.
struct Top {
    shown: Shown,
    began: Instant,
    view: View,
    recording: Option<Recording>,
    before: Option<(StatusDocument, Instant)>,
    /// Looks in a row without an answer.
    unanswered: u32,
}

impl Top {
    fn new(args: &Args) -> Self {
        let began = Instant::now();
        let shown = match () {
            () if args.once => Shown::Once,
            () if std::io::stdout().is_terminal() => Shown::Screens,
            () if args.plot.is_some() => Shown::Lines,
            () => Shown::Pages,
        };
        let recording = || Recording::new(&args.address, began, Timestamp::wall());
        Self {
            shown,
            began,
            view: View::new(&args.address),
            recording: args.plot.as_ref().map(|_| recording()),
            before: None,
            unanswered: 0,
        }
    }

    /// Prints a look. Returns false to end.
    fn seen(&mut self, status: StatusDocument) -> bool {
        self.unanswered = 0;
        let at = Instant::now();
        let look = Look::new(&status, at, self.before.as_ref());
        let is_first = self.before.is_none();
        let moment = self.recording.as_mut().map(|recording| recording.seen(&look));
        let goes_on = match (self.shown, moment) {
            (Shown::Lines, Some(moment)) => {
                let head = if is_first { lines::head() } else { String::new() };
                print(&format!("{head}{}", lines::line(&moment)))
            }
            (Shown::Once, _) if is_first => {
                // The curve of the lag begins with this look.
                self.view.show(&look);
                true
            }
            (Shown::Once, _) => {
                print(&self.view.show(&look));
                false
            }
            (shown, _) => print(&format!("{}{}", clear(shown), self.view.show(&look))),
        };
        self.before = Some((status, at));
        goes_on
    }

    /// Reports that the process does not answer. Returns false to end.
    fn away(&mut self, error: &str) -> bool {
        self.unanswered += 1;
        let mut is_gone = false;
        if let Some(recording) = &mut self.recording {
            recording.away(Instant::now());
            is_gone = recording.has_answered() && self.unanswered >= AWAY;
        }
        let next = if is_gone { "it is gone" } else { "retrying" };
        let message = format!("{error}; {next}\n");
        if self.shown == Shown::Lines {
            // The lines are for programs. Standard error may be closed.
            let _ = std::io::stderr().write_all(message.as_bytes());
            return !is_gone;
        }
        print(&format!("{}{message}", clear(self.shown))) && !is_gone
    }
}

/// The sequence that moves the cursor home and clears the screen.
fn clear(shown: Shown) -> &'static str {
    if shown == Shown::Screens { "\x1b[H\x1b[2J" } else { "" }
}

/// Prints. Returns false if the reader has closed the pipe (`| head`), which is no error.
fn print(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}
