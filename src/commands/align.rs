//! `lockstep align`: a dry run of a pipeline's alignment.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use lockstep_engine::align::{AlignPolicy, Aligner, Event};
use lockstep_engine::time::Timestamp;
use lockstep_settings::load_alignment;
use serde_json::Value;

use super::Failure;
use crate::plot::file::PlotFile;
use lines::{BundleOutcome, DryRunSample, Fate};
use offset::Comparison;
use plot::{PlotSelection, StreamRecording};
use statistics::Statistics;

mod distribution;
mod lines;
mod offset;
mod plot;
mod report;
mod statistics;
mod wrong;

const DETAILS: &str = r#"Reads one sample a line from standard input, in the order of arrival:

  {"stream":"cam-1","input":"video","event_time_ns":40000000}

with "duration_ns" for what lasts, "id" (else the line's number), "bytes" for bounds of bytes, and "arrival_ns", the
wall time that drives idle and wait timers. Without it time stands still. A sample with the event time and "id" of
another that is held is a duplicate. At the end all that is open is closed as when inputs are idle.

Writes a line for each bundle in the order in which they close, and one for each sample that is late, a
duplicate, evicted (with the bound as its reason), outliers or in no bundle, and one for each step of a source's clock. A summary goes to standard error. Exits with 1 if a line could not be read.

STATISTICS
--stats tells, after the summary, of each input: its samples, how many bundles closed without it (missing), how many of
its samples were late, duplicates, evicted or unused; its skew, how far from its bundle's time it was (the mean has its
sign: of a clock that is off it is far from 0); how long a bundle had been open when it arrived; how its windows were
covered; how many parts in a million the real rates of its sources are above the nominal ones (drift), by the event times of
what lasts, over the streams of which that is sure to within 10 ppm. Then how long bundles waited, from the arrival of their pivot or first sample to their close, and how late
late samples were. Last a line for each stream; of many, those with the least share of complete bundles.
--stats=json gives all of it as one JSON object on the last line of standard error, in place of the summary. Its times
are in nanoseconds.

PICTURE
--plot draws one stream as SVG: a lane for each input, samples as ticks, or as bars if they last, and each bundle as a
line from its mark on top to what it took of each input. Without a range it shows the first 10 bundles. Seconds count
from the event time of the stream's first sample.

CLOCK OFFSETS
--estimate-offset audio=video tells what to add to the times of audio so that it agrees with video, in two ways. By
events: the offset at which most events of the two meet. It needs things that both notice, at irregular times, at least
10 of each; what is periodic fits at many offsets, and the one nearest to zero is given as such. By arrivals: the
difference of the least delays from an event's end to its arrival_ns, at least 20 of each; what the quickest ways of the
two differ goes into it unseen. An estimate comes with how far single events scatter about it, a confidence from 0 to 1
(how far it stands out from the next best) and how many events it rests on. The latest 4096 events of each count.

  lockstep align pipeline.toml --estimate-offset audio=video < samples.jsonl > /dev/null

EXAMPLES
  lockstep align pipeline.toml < samples.jsonl > bundles.jsonl
  lockstep align pipeline.toml --stats --plot bundles.svg < samples.jsonl > /dev/null
  lockstep align pipeline.toml --plot one.svg --plot-stream cam-7 --plot-from 10 --plot-to 12.5 < samples.jsonl > /dev/null
  lockstep align pipeline.toml --stats=json < samples.jsonl 2>&1 > /dev/null | tail -1 | jq .share_complete"#;

#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    /// The pipeline's configuration
    config: PathBuf,
    /// Print statistics of samples and bundles on standard error: as a table, or as JSON with --stats=json
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "table")]
    stats: Option<StatisticsFormat>,
    /// Draw samples and the bundles that joined them over time
    #[arg(long, value_name = "FILE.svg", value_parser = crate::plot::file::target())]
    plot: Option<PathBuf>,
    /// The stream to draw [default: the first]
    #[arg(long, value_name = "KEY", requires = "plot")]
    plot_stream: Option<String>,
    /// Start of the plot, in seconds after the stream's first sample
    #[arg(long, value_name = "SECONDS", requires = "plot", value_parser = seconds, allow_hyphen_values = true)]
    plot_from: Option<i64>,
    /// End of the plot, in seconds after the stream's first sample
    #[arg(long, value_name = "SECONDS", requires = "plot", value_parser = seconds, allow_hyphen_values = true)]
    plot_to: Option<i64>,
    /// Estimate the clock offset of an input from another, by default the pivot; may be given more than once
    #[arg(long, value_name = "INPUT[=REFERENCE]")]
    estimate_offset: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum StatisticsFormat {
    Table,
    Json,
}

/// Reads seconds as nanoseconds.
fn seconds(text: &str) -> Result<i64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.abs() <= 1e9 => Ok((seconds * 1e9).round() as i64),
        _ => Err("write a number of seconds, as 12 or 0.5".to_owned()),
    }
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let (inputs, policy) = load_alignment(&args.config)?;
    let offsets: Vec<i64> = inputs.iter().map(|input| input.clock_offset).collect();
    let names: Vec<String> = inputs.into_iter().map(|input| input.name).collect();
    if let (Some(from), Some(to)) = (args.plot_from, args.plot_to)
        && from >= to
    {
        return Err("--plot-from is not before --plot-to; write a smaller one".into());
    }
    let comparisons: Result<Vec<_>, String> =
        args.estimate_offset.iter().map(|text| Comparison::new(text, &names, &offsets, &policy)).collect();
    let wanted = PlotSelection { stream: args.plot_stream, from: args.plot_from, to: args.plot_to };
    let mut watch = DryRunObservers {
        statistics: args.stats.map(|_| Statistics::new(names.len())),
        recording: args.plot.as_ref().map(|_| StreamRecording::new(wanted)),
        comparisons: comparisons?,
    };
    // Before the work, so that a wrong path fails at once.
    let plot = args.plot.as_deref().map(PlotFile::open).transpose()?;
    let output = io::BufWriter::new(io::stdout().lock());
    let summary =
        match dry_run(&names, &offsets, policy, &mut watch, io::stdin().lock(), output, &mut io::stderr()) {
            // The reader has closed the pipe.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            outcome => outcome?,
        };
    let absent = match (plot, &watch.recording) {
        (Some(plot), Some(recording)) => {
            plot.write(&plot::draw::draw(recording, &names))?;
            recording.absent()
        }
        _ => None,
    };
    let text = watch.report(args.stats, &summary, &names);
    // Standard error may be closed; only the lines on standard output matter.
    let _ = io::stderr().write_all(text.as_bytes());
    if let Some(key) = absent {
        return Err(
            format!("--plot-stream: no sample of a stream {key:?} was read; the picture is empty").into()
        );
    }
    Ok(if summary.bad_lines == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The observers of a dry run: statistics, plot and clock offsets.
#[derive(Default)]
struct DryRunObservers {
    statistics: Option<Statistics>,
    recording: Option<StreamRecording>,
    comparisons: Vec<Comparison>,
}

impl DryRunObservers {
    fn sample(&mut self, item: &Arc<DryRunSample>) {
        if let Some(statistics) = &mut self.statistics {
            statistics.sample(item);
        }
        if let Some(recording) = &mut self.recording {
            recording.sample(item);
        }
        for comparison in &mut self.comparisons {
            comparison.sample(item);
        }
    }

    fn event(&mut self, event: &Event<Arc<DryRunSample>>, at_end: bool) {
        if let Some(statistics) = &mut self.statistics {
            statistics.event(event, at_end);
        }
        if let Some(recording) = &mut self.recording {
            recording.event(event);
        }
    }

    /// The report that goes to standard error at the end.
    fn report(&self, format: Option<StatisticsFormat>, summary: &Summary, names: &[String]) -> String {
        if let (Some(StatisticsFormat::Json), Some(statistics)) = (format, &self.statistics) {
            let mut object = report::json(statistics, names, summary.bad_lines);
            let offsets: Vec<Value> =
                self.comparisons.iter().map(|comparison| comparison.json(names)).collect();
            if !offsets.is_empty() {
                object.insert("clock_offsets".into(), offsets.into());
            }
            return format!("{}\n", Value::from(object));
        }
        let mut text = format!("{summary}\n");
        if let Some(statistics) = &self.statistics {
            text.push('\n');
            text.push_str(&report::table(statistics, names));
        }
        for comparison in &self.comparisons {
            text.push('\n');
            text.push_str(&comparison.report(names));
        }
        text
    }
}

/// The counts of a dry run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Summary {
    samples: u64,
    bundles: u64,
    complete: u64,
    dropped: u64,
    dead_letters: u64,
    late: u64,
    duplicates: u64,
    unused: u64,
    evicted: u64,
    outliers: u64,
    /// Bundles that were published before they were final.
    ahead: u64,
    bad_lines: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} samples: {} bundles ({} complete), {} dropped, {} dead-lettered; {} late, {} duplicates, {} unused",
            self.samples,
            self.bundles,
            self.complete,
            self.dropped,
            self.dead_letters,
            self.late,
            self.duplicates,
            self.unused
        )?;
        if self.ahead > 0 {
            write!(f, ", {} told before they were final", self.ahead)?;
        }
        if self.evicted > 0 {
            write!(f, ", {} evicted", self.evicted)?;
        }
        if self.outliers > 0 {
            write!(f, ", {} outliers", self.outliers)?;
        }
        if self.bad_lines > 0 {
            write!(f, "; {} bad lines", self.bad_lines)?;
        }
        Ok(())
    }
}

/// The mark that some editors write at the beginning of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Aligns the samples of `input` and writes the fate of each to `output`. Bad lines are reported in `errors` and skipped.
/// `offsets` are the clock offsets of the inputs.
///
/// # Errors
/// When reading or writing fails.
fn dry_run(
    names: &[String],
    offsets: &[i64],
    policy: AlignPolicy,
    watch: &mut DryRunObservers,
    mut input: impl BufRead,
    mut output: impl Write,
    errors: &mut impl Write,
) -> io::Result<Summary> {
    let revises = policy.revise.revises();
    let mut aligner = Aligner::new(Arc::new(policy));
    let mut summary = Summary::default();
    let mut events = Vec::new();
    let mut now = Timestamp::MIN;
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        bytes.clear();
        if input.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        number += 1;
        let start = if number == 1 { bytes.strip_prefix(BYTE_ORDER_MARK) } else { None };
        let text = start.unwrap_or(&bytes).trim_ascii();
        if text.is_empty() {
            continue;
        }
        let item = std::str::from_utf8(text)
            .map_err(|_| "is not UTF-8; a line is one JSON object".to_owned())
            .and_then(|text| lines::read(text, number, names, offsets));
        let item = match item {
            Ok(item) => Arc::new(item),
            Err(error) => {
                summary.bad_lines += 1;
                writeln!(errors, "error: line {number}: {error}")?;
                continue;
            }
        };
        summary.samples += 1;
        watch.sample(&item);
        if let Some(arrival) = item.arrival {
            // One deadline after the other, so that each sees the state of its own time.
            while let Some(due) = aligner.next_deadline().filter(|due| *due <= arrival) {
                aligner.tick(due, &mut events);
            }
            now = now.max(arrival);
        }
        aligner.push(&item.stream, item.input, item.stamp, Arc::clone(&item), now, &mut events);
        write_events(&mut events, (names, revises), (&mut summary, watch), false, &mut output)?;
    }
    aligner.finish(now, &mut events);
    write_events(&mut events, (names, revises), (&mut summary, watch), true, &mut output)?;
    output.flush()?;
    Ok(summary)
}

fn write_events(
    events: &mut Vec<Event<Arc<DryRunSample>>>,
    (names, revises): (&[String], bool),
    (summary, watch): (&mut Summary, &mut DryRunObservers),
    at_end: bool,
    output: &mut impl Write,
) -> io::Result<()> {
    for event in events.drain(..) {
        watch.event(&event, at_end);
        let line = match event {
            Event::Bundle(bundle) if !bundle.is_final => {
                summary.ahead += 1;
                lines::bundle(&bundle, BundleOutcome::Goes, names, revises)
            }
            Event::Bundle(bundle) => {
                summary.bundles += 1;
                summary.complete += u64::from(bundle.is_complete());
                lines::bundle(&bundle, BundleOutcome::Goes, names, revises)
            }
            Event::Dropped { bundle, missing } => {
                summary.dropped += 1;
                lines::bundle(&bundle, BundleOutcome::Dropped(missing), names, revises)
            }
            Event::DeadLetter { bundle, missing } => {
                summary.dead_letters += 1;
                lines::bundle(&bundle, BundleOutcome::DeadLetter(missing), names, revises)
            }
            Event::Late { item, by_ns } => {
                summary.late += 1;
                lines::left_out(&item, Fate::Late { by_ns }, names)
            }
            Event::Duplicate(item) => {
                summary.duplicates += 1;
                lines::left_out(&item, Fate::Duplicate, names)
            }
            Event::Evicted { item, bound, used } => {
                summary.evicted += 1;
                lines::left_out(&item, Fate::Evicted { bound, used }, names)
            }
            Event::TimestampOutlier(item) => {
                summary.outliers += 1;
                lines::left_out(&item, Fate::TimestampOutlier, names)
            }
            Event::Epoch { stream, input, from, to } => lines::epoch(&stream, input, from, to, names),
            Event::Released { item, used: 0 } => {
                summary.unused += 1;
                lines::left_out(&item, Fate::Unused, names)
            }
            Event::Released { .. } => continue,
        };
        writeln!(output, "{}", line?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
