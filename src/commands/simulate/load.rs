//! `--load`: a shape, or a recording.

use std::path::Path;

use lockstep_engine::scaling::model::{LoadProfile, LoadShape};

use super::Args;

/// The length of the shapes, in seconds.
const SECONDS: u32 = 300;
/// The least and the most of the shapes unless said, by what can be sustained.
const BASE: f64 = 0.6;
const PEAK: f64 = 3.0;
/// No longer, in seconds.
pub(super) const LONGEST: u32 = 21_600;
/// No more lines of a file.
const LINES: usize = 1_000_000;

/// The load, and how long it is to be simulated in seconds. `sustainable` are records per second.
///
/// # Errors
/// The mistake in the word or the file.
pub(super) fn load(args: &Args, sustainable: f64) -> Result<(LoadProfile, u32), String> {
    let shape = match args.load.as_str() {
        "step" => LoadShape::Step,
        "burst" => LoadShape::Burst,
        "sine" => LoadShape::Sine,
        path => return trace(args, path),
    };
    let seconds = args.seconds.unwrap_or(SECONDS);
    let base = args.rate.unwrap_or(BASE * sustainable);
    let peak = args.peak.unwrap_or(PEAK * sustainable);
    Ok((LoadProfile::Shaped { shape, base, peak, seconds: f64::from(seconds) }, seconds))
}

fn trace(args: &Args, path: &str) -> Result<(LoadProfile, u32), String> {
    if !Path::new(path).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        return Err(format!(
            "--load: {path:?} is none; write step, burst, sine or the path of a file that ends in .csv"
        ));
    }
    for (option, said) in [("--rate", args.rate), ("--peak", args.peak)] {
        if said.is_some() {
            return Err(format!("{option} is of step, burst and sine; a CSV file has the rates in it"));
        }
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("--load {path}: {error}"))?;
    let points = read(&text).map_err(|error| format!("--load {path}: {error}"))?;
    let last = points.last().map_or(0.0, |(from, _)| *from);
    let seconds = args.seconds.unwrap_or((last + 1.0).ceil().clamp(1.0, f64::from(LONGEST)) as u32);
    Ok((LoadProfile::Trace(points), seconds))
}

/// Lines of `seconds,records_per_second`.
fn read(text: &str) -> Result<Vec<(f64, f64)>, String> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number_of = |text: &str| text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
        let point = line.split_once(',').and_then(|(from, rate)| Some((number_of(from)?, number_of(rate)?)));
        match point {
            None if number == 0 => {}
            None => return Err(format!("line {}: {line:?} is not seconds,records_per_second", number + 1)),
            Some((_, rate)) if !(0.0..=1e6).contains(&rate) => {
                return Err(format!("line {}: a rate is from 0 to 1000000", number + 1));
            }
            Some((from, _)) if points.last().is_some_and(|(last, _)| from <= *last) => {
                return Err(format!("line {}: {from} s is not after the line before", number + 1));
            }
            Some(_) if points.len() >= LINES => return Err(format!("has more than {LINES} lines")),
            Some(point) => points.push(point),
        }
    }
    if points.is_empty() { Err("has no line of seconds,records_per_second".to_owned()) } else { Ok(points) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_with_or_without_a_head() {
        let right = vec![(0.0, 10.0), (1.5, 200.5)];
        assert_eq!(read("0,10\n1.5, 200.5\n"), Ok(right.clone()));
        assert_eq!(read("seconds,records_per_second\n0,10\n\n1.5,200.5"), Ok(right));
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, words) in [
            ("", "has no line"),
            ("0,10\nx,10", "line 2"),
            ("0,10\n0,10", "line 2: 0 s is not after"),
            ("0,-1", "line 1: a rate"),
            ("0,inf\n1", "line 2"),
            ("head\n0,1\n1", "line 3: \"1\""),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }
}
