//! The statistics of a dry run, as a table for people and as JSON.

use serde_json::{Map, Value, json};

use super::statistics::{Drifts, FateCounts, InputStatistics, Statistics};

/// The most streams in the table: those with the smallest share of complete bundles.
const STREAMS: usize = 20;

/// The table's text.
pub(super) fn table(statistics: &Statistics, names: &[String]) -> String {
    let head = |first: &str, rest: &[&str]| -> Vec<String> {
        std::iter::once(first).chain(rest.iter().copied()).map(String::from).collect()
    };
    let fates = ["missing", "late", "duplicate", "evicted", "outliers", "unused"];
    let mut inputs = vec![head("input", &[&["samples"][..], &fates[..]].concat())];
    let mut skews = vec![head("skew", &["p50", "p95", "p99", "max", "mean"])];
    let mut after = vec![head("arrives after opening", &["p50", "p95", "p99", "max"])];
    let mut coverages = vec![head("coverage", &["windows", "full", "mean", "least"])];
    for (name, input) in names.iter().zip(&statistics.inputs) {
        let counts = [
            input.samples,
            input.missing,
            input.late,
            input.duplicates,
            input.evicted,
            input.outliers,
            input.unused,
        ];
        inputs.push(row(name, counts.map(|count| count.to_string())));
        if let Some((quantiles, mean)) = input.skew.quantiles().zip(input.mean_skew()) {
            let mut cells = row(name, quantiles.map(show));
            cells.push(show_signed(mean as i64));
            skews.push(cells);
        }
        if let Some(quantiles) = input.after.quantiles() {
            after.push(row(name, quantiles.map(show)));
        }
        if let Some(mean) = input.coverage.mean() {
            let coverage = &input.coverage;
            let full = coverage.full as f64 / coverage.windows as f64;
            coverages.push(row(
                name,
                [coverage.windows.to_string(), percent(full), percent(mean), percent(coverage.least)],
            ));
        }
    }
    let mut drifts = vec![head("drift in ppm", &["streams", "slowest", "median", "quickest", "within"])];
    for (name, known) in
        names.iter().zip(&statistics.inputs).filter_map(|(name, of)| Some((name, of.drifts()?)))
    {
        let cells = match middle(&known) {
            Some([slowest, median, quickest, error]) => [
                known.streams.len().to_string(),
                format!("{slowest:+.1}"),
                format!("{median:+.1}"),
                format!("{quickest:+.1}"),
                format!("{error:.1}"),
            ],
            None => ["0", "-", "-", "-", "-"].map(String::from),
        };
        drifts.push(row(name, cells));
    }
    let mut bundles = vec![head("bundles", &["p50", "p95", "p99", "max"])];
    if let Some(quantiles) = statistics.wait.quantiles() {
        bundles.push(row("wait to close", quantiles.map(show)));
    }
    if let Some(quantiles) = statistics.late_by.quantiles() {
        bundles.push(row("samples late by", quantiles.map(show)));
    }
    let mut text = columns(&inputs);
    for table in [&skews, &after, &coverages, &drifts, &bundles] {
        if table.len() > 1 {
            text.push('\n');
            text.push_str(&columns(table));
        }
    }
    if statistics.wait.is_empty() && statistics.all.samples.iter().any(|samples| *samples > 0) {
        text.push_str(
            "\nNo bundle with arrival_ns closed before the end: how long bundles wait is not known.\n",
        );
    }
    for (bound, samples) in &statistics.evicted_by {
        text.push_str(&format!("\n{} had to make room: {bound}.\n", counted(*samples, "sample")));
    }
    if statistics.closed_by_end > 0 {
        text.push_str(&format!(
            "\n{} closed only when the input ended and are not counted in the wait.\n",
            counted(statistics.closed_by_end, "bundle")
        ));
    }
    text.push('\n');
    text.push_str(&streams(statistics, names));
    text
}

/// The slowest, the median and the quickest drift, in parts per million, and how far they may be off.
fn middle(drifts: &Drifts) -> Option<[f64; 4]> {
    let streams = &drifts.streams;
    let median = streams.get(streams.len() / 2)?.ppm;
    let error = streams.iter().map(|drift| drift.error_ppm).fold(0.0, f64::max);
    Some([streams.first()?.ppm, median, streams.last()?.ppm, error])
}

fn streams(statistics: &Statistics, names: &[String]) -> String {
    let mut worst: Vec<_> = statistics.streams.iter().collect();
    worst.sort_by(|(_, one), (_, other)| {
        one.share_complete().unwrap_or(0.0).total_cmp(&other.share_complete().unwrap_or(0.0))
    });
    let hidden = worst.len().saturating_sub(STREAMS);
    worst.truncate(STREAMS);
    let mut head = vec!["stream".to_owned()];
    head.extend(names.iter().map(|name| printable(name)));
    let rest = [
        "bundles",
        "complete",
        "dropped",
        "dead-lettered",
        "late",
        "duplicate",
        "evicted",
        "outliers",
        "unused",
    ];
    head.extend(rest.map(String::from));
    let mut rows = vec![head];
    rows.extend(worst.iter().map(|(stream, counts)| stream_row(stream.as_str(), counts)));
    rows.push(stream_row("all", &statistics.all));
    let mut text = columns(&rows);
    if hidden > 0 {
        text.push_str(&format!(
            "{hidden} more streams, with a larger share complete, are not shown; --stats=json has all.\n"
        ));
    }
    text
}

fn stream_row(stream: &str, counts: &FateCounts) -> Vec<String> {
    let mut cells = vec![printable(stream)];
    cells.extend(counts.samples.iter().map(u64::to_string));
    cells.push(counts.bundles.to_string());
    cells.push(counts.share_complete().map_or_else(|| "-".to_owned(), percent));
    let fates = [
        counts.dropped,
        counts.dead_letters,
        counts.late,
        counts.duplicates,
        counts.evicted,
        counts.outliers,
        counts.unused,
    ];
    cells.extend(fates.map(|count| count.to_string()));
    cells
}

/// The statistics as one object. Times are in nanoseconds.
pub(super) fn json(statistics: &Statistics, names: &[String], bad_lines: u64) -> Map<String, Value> {
    let mut object = counts(&statistics.all, names);
    object.insert("bad_lines".into(), bad_lines.into());
    object.insert("closed_by_end".into(), statistics.closed_by_end.into());
    object.insert("wait_ns".into(), statistics.wait.json());
    object.insert("late_by_ns".into(), statistics.late_by.json());
    object.insert("evicted_by".into(), json!(statistics.evicted_by));
    let inputs: Map<String, Value> =
        names.iter().zip(&statistics.inputs).map(|(name, input)| (name.clone(), of_input(input))).collect();
    object.insert("inputs".into(), inputs.into());
    let streams: Map<String, Value> = statistics
        .streams
        .iter()
        .map(|(stream, of_stream)| (stream.as_str().to_owned(), counts(of_stream, names).into()))
        .collect();
    object.insert("streams".into(), streams.into());
    object
}

fn counts(counts: &FateCounts, names: &[String]) -> Map<String, Value> {
    let samples: Map<String, Value> =
        names.iter().zip(&counts.samples).map(|(name, count)| (name.clone(), (*count).into())).collect();
    let mut object = Map::new();
    object.insert("samples".into(), samples.into());
    for (name, count) in [
        ("bundles", counts.bundles),
        ("complete", counts.complete),
        ("dropped", counts.dropped),
        ("dead_letters", counts.dead_letters),
        ("late", counts.late),
        ("duplicates", counts.duplicates),
        ("evicted", counts.evicted),
        ("outliers", counts.outliers),
        ("unused", counts.unused),
    ] {
        object.insert(name.into(), count.into());
    }
    object.insert("share_complete".into(), counts.share_complete().into());
    object
}

fn of_input(input: &InputStatistics) -> Value {
    let mut skew = input.skew.json();
    if let (Some(object), Some(mean)) = (skew.as_object_mut(), input.mean_skew()) {
        object.insert("mean".into(), mean.into());
    }
    let coverage = input.coverage.mean().map(|mean| {
        let coverage = &input.coverage;
        json!({"windows": coverage.windows, "full": coverage.full, "mean": mean, "least": coverage.least})
    });
    let drift = input.drifts().map(|drifts| {
        let mut value = json!({"streams": drifts.streams.len(), "unknown": drifts.unknown});
        if let (Some(object), Some(told)) = (value.as_object_mut(), middle(&drifts)) {
            for (name, number) in ["slowest", "median", "quickest", "error"].into_iter().zip(told) {
                object.insert(name.into(), number.into());
            }
        }
        value
    });
    json!({
        "samples": input.samples,
        "missing": input.missing,
        "late": input.late,
        "duplicates": input.duplicates,
        "evicted": input.evicted,
        "outliers": input.outliers,
        "unused": input.unused,
        "skew_ns": skew,
        "after_ns": input.after.json(),
        "coverage": coverage,
        "drift_ppm": drift,
    })
}

fn row<const N: usize>(name: &str, cells: [String; N]) -> Vec<String> {
    std::iter::once(printable(name)).chain(cells).collect()
}

/// Rows as columns, the first to the left and the others to the right. The first row is the head.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column == 0 {
                text.push_str(&format!("{cell:<width$}"));
            } else {
                text.push_str(&format!("  {cell:>width$}"));
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// A name that came from input, on one line and without anything a terminal would obey.
pub(super) fn printable(name: &str) -> String {
    let mut text: String =
        name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(41).collect();
    if text.chars().count() > 40 {
        text.pop();
        text.push('…');
    }
    text
}

/// A span of nanoseconds with three digits.
pub(super) fn show(nanos: u64) -> String {
    let value = nanos as f64;
    let (value, unit) = match nanos {
        0 => return "0".to_owned(),
        1..1_000 => return format!("{nanos}ns"),
        1_000..999_500 => (value / 1e3, "µs"),
        999_500..999_500_000 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$}{unit}")
}

/// The same with a sign.
pub(super) fn show_signed(nanos: i64) -> String {
    let sign = match nanos {
        0 => "",
        1.. => "+",
        _ => "-",
    };
    format!("{sign}{}", show(nanos.unsigned_abs()))
}

pub(super) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A share, rounded down so that only all is 100 %.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}%", (share * 1e3).floor() / 10.0)
}
