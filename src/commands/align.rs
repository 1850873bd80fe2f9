//! `lockstep align`: a dry run of a pipeline's alignment.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use lockstep_engine::align::{AlignPolicy, Aligner, Event};
use lockstep_engine::time::Timestamp;

use super::Failure;
use crate::settings::load_alignment;
use lines::{Fate, Item, Verdict};

mod lines;

const DETAILS: &str = r#"Reads one sample a line from standard input, in the order of arrival:

  {"stream":"cam-1","input":"video","event_time_ns":40000000}

with "duration_ns" for what lasts, "id" (else the line's number) and "arrival_ns", the wall time that drives
idle and wait timers. Without it time stands still. At the end all that is open is closed as when inputs are idle.

Writes a line for each bundle in the order in which they close, and one for each sample that is late, a
duplicate, evicted, astray or in no bundle, and one for each step of a source's clock. A summary goes to standard error. Exits with 1 if a line could not be read."#;

#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    /// The pipeline's configuration
    config: PathBuf,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let (inputs, policy) = load_alignment(&args.config)?;
    let offsets: Vec<i64> = inputs.iter().map(|input| input.clock_offset).collect();
    let names: Vec<String> = inputs.into_iter().map(|input| input.name).collect();
    let output = io::BufWriter::new(io::stdout().lock());
    let summary = match dry_run(&names, &offsets, policy, io::stdin().lock(), output, &mut io::stderr()) {
        // Whoever reads the bundles has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        outcome => outcome?,
    };
    eprintln!("{summary}");
    Ok(if summary.bad_lines == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of a dry run.
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
    astray: u64,
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
        if self.evicted > 0 {
            write!(f, ", {} evicted", self.evicted)?;
        }
        if self.astray > 0 {
            write!(f, ", {} astray", self.astray)?;
        }
        if self.bad_lines > 0 {
            write!(f, "; {} bad lines", self.bad_lines)?;
        }
        Ok(())
    }
}

/// Aligns the samples of `input` and writes what becomes of them to `output`. Bad lines are named in
/// `errors` and passed over. `offsets` are those of the inputs' clocks.
///
/// # Errors
/// When reading or writing fails.
fn dry_run(
    names: &[String],
    offsets: &[i64],
    policy: AlignPolicy,
    mut input: impl BufRead,
    mut output: impl Write,
    errors: &mut impl Write,
) -> io::Result<Summary> {
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
        let text = bytes.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let item = std::str::from_utf8(text)
            .map_err(|_| "not UTF-8; a line is one JSON object".to_owned())
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
        if let Some(arrival) = item.arrival {
            // One deadline after the other, so that each finds things as they were then.
            while let Some(due) = aligner.next_deadline().filter(|due| *due <= arrival) {
                aligner.tick(due, &mut events);
            }
            now = now.max(arrival);
        }
        aligner.push(&item.stream, item.input, item.stamp, Arc::clone(&item), now, &mut events);
        write_events(&mut events, names, &mut summary, &mut output)?;
    }
    aligner.finish(now, &mut events);
    write_events(&mut events, names, &mut summary, &mut output)?;
    output.flush()?;
    Ok(summary)
}

fn write_events(
    events: &mut Vec<Event<Arc<Item>>>,
    names: &[String],
    summary: &mut Summary,
    output: &mut impl Write,
) -> io::Result<()> {
    for event in events.drain(..) {
        let line = match event {
            Event::Bundle(bundle) => {
                summary.bundles += 1;
                summary.complete += u64::from(bundle.is_complete());
                lines::bundle(&bundle, Verdict::Goes, names)
            }
            Event::Dropped { bundle, missing } => {
                summary.dropped += 1;
                lines::bundle(&bundle, Verdict::Dropped(missing), names)
            }
            Event::DeadLetter { bundle, missing } => {
                summary.dead_letters += 1;
                lines::bundle(&bundle, Verdict::DeadLetter(missing), names)
            }
            Event::Late { item, by_ns } => {
                summary.late += 1;
                lines::left_out(&item, Fate::Late { by_ns }, names)
            }
            Event::Duplicate(item) => {
                summary.duplicates += 1;
                lines::left_out(&item, Fate::Duplicate, names)
            }
            Event::Evicted(item) => {
                summary.evicted += 1;
                lines::left_out(&item, Fate::Evicted, names)
            }
            Event::Astray(item) => {
                summary.astray += 1;
                lines::left_out(&item, Fate::Astray, names)
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
