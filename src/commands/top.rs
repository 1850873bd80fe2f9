//! `lockstep top`

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lockstep_actors::Stop;
use lockstep_engine::time::Timestamp;

use super::Failure;
use super::run::stop_on_signals;
use crate::plot::course;
use crate::plot::file::PlotFile;
use crate::settings::parse_duration;
pub(crate) use fetch::fetch;
use look::Look;
pub(crate) use metrics::Scrape;
use recording::Recording;
use view::View;

mod fetch;
mod lines;
mod look;
mod metrics;
mod recording;
mod view;

/// A process whose picture is drawn and that has answered before is gone after so many looks without an answer.
const AWAY: u32 = 3;

const DETAILS: &str = "\
Asks a running process for its metrics again and again, and shows where the load is: what arrives and waits, how busy
shards and instances are and how many of them the law of scaling asks for, where the time of results goes, and what was
lost to lateness or faults. Rates, latencies and counts are of the time since the last look; the curve of the lag is of
the last 60 looks. A process that is away is asked again.

PICTURE
With --plot what it tells is kept, and drawn at the end as `lockstep simulate --plot` draws a simulation: what arrives,
results, lag, age, shards, instances and latency over time. The end is Ctrl-C, or --seconds, or when a process that has
answered does not three times in a row. It works without a terminal too, and prints a line for each look then. However
long it runs, some 2000 points are kept: each is the greatest of as many looks as it takes. The 99th percentile of the
latency is the bound of the bucket that it is in.

  lockstep top
  lockstep top 10.0.0.7:9464 --every 5s
  lockstep top --once > load.txt
  lockstep top --plot load.svg --seconds 600 > load.txt";

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
    #[arg(long, conflicts_with_all = ["plot", "seconds"])]
    once: bool,
    /// Draw at the end what was seen
    #[arg(long, value_name = "FILE.svg", value_parser = crate::plot::file::target())]
    plot: Option<PathBuf>,
    /// End after so long
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    seconds: Option<u32>,
}

fn every(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|every| (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(every))
        .ok_or_else(|| "write a length of time from 100ms to 1h, as 500ms or 2s".to_owned())
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    // Before the first look, so that a wrong path is told at once.
    let plot = args.plot.as_deref().map(PlotFile::open).transpose()?;
    let stop = Stop::default();
    stop_on_signals(&stop)?;
    let mut top = Top::new(&args);
    loop {
        let began = top.began;
        let goes_on = match fetch(&args.address) {
            Ok(scrape) => top.seen(scrape),
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
            return Err(format!("{} has told nothing, so that there is nothing to draw", args.address).into());
        };
        plot.write(&course::draw(&picture))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How looks are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// One screen in place of the other.
    Screens,
    /// One after the other.
    Pages,
    /// The second, as the last.
    Once,
    /// As a line each.
    Lines,
}

/// What goes on from look to look.
struct Top {
    shown: Shown,
    began: Instant,
    view: View,
    recording: Option<Recording>,
    before: Option<(Scrape, Instant)>,
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

    /// Shows what the process tells. Says whether to go on.
    fn seen(&mut self, scrape: Scrape) -> bool {
        self.unanswered = 0;
        let at = Instant::now();
        let look = Look::new(&scrape, at, self.before.as_ref());
        let is_first = self.before.is_none();
        let moment = self.recording.as_mut().map(|recording| recording.seen(&look));
        let goes_on = match (self.shown, moment) {
            (Shown::Lines, Some(moment)) => {
                let head = if is_first { lines::head() } else { String::new() };
                print(&format!("{head}{}", lines::line(&moment)))
            }
            (Shown::Once, _) if is_first => {
                // Its curve begins here.
                self.view.show(&look);
                true
            }
            (Shown::Once, _) => {
                print(&self.view.show(&look));
                false
            }
            (shown, _) => print(&format!("{}{}", clear(shown), self.view.show(&look))),
        };
        self.before = Some((scrape, at));
        goes_on
    }

    /// Says that the process does not answer, and whether to go on.
    fn away(&mut self, error: &str) -> bool {
        self.unanswered += 1;
        let mut is_gone = false;
        if let Some(recording) = &mut self.recording {
            recording.away(Instant::now());
            is_gone = recording.has_answered() && self.unanswered >= AWAY;
        }
        let next = if is_gone { "it is gone" } else { "asking again" };
        let told = format!("{error}; {next}\n");
        if self.shown == Shown::Lines {
            // The lines are for programs. Standard error may be closed.
            let _ = std::io::stderr().write_all(told.as_bytes());
            return !is_gone;
        }
        print(&format!("{}{told}", clear(self.shown))) && !is_gone
    }
}

/// Home, and what was there is gone.
fn clear(shown: Shown) -> &'static str {
    if shown == Shown::Screens { "\x1b[H\x1b[2J" } else { "" }
}

/// Prints. Says whether somebody reads: nobody does any more after `| head`, which is no error.
fn print(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}
