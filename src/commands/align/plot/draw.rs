//! The plot of a recording: a row for each input with its samples, and the bundles that joined them.

use super::{PlottedFate, PlottedOutcome, PlottedPart, PlottedSample, Shape, StreamRecording};
use crate::commands::align::report::{printable, show};
use crate::plot::scale::Scale;
use crate::plot::svg::Svg;
use crate::plot::{RED, colour};

const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 24.0;
/// Where the bundles' own marks are.
const BUNDLES: f64 = 92.0;
const SAMPLES: f64 = 26.0;
/// The height of a row of windows below the samples. Overlapping windows are in different rows.
const ROW: f64 = 8.0;
const ROWS: usize = 24;
const GAP: f64 = 26.0;

/// One input's part of the picture.
struct InputRow<'a> {
    name: &'a str,
    top: f64,
    /// The row of each shape's part.
    rows: Vec<usize>,
    depth: usize,
}

impl InputRow<'_> {
    fn row(&self, shape: usize) -> f64 {
        let row = self.rows.get(shape).copied().unwrap_or(0) % ROWS;
        self.top + SAMPLES + 8.0 + row as f64 * ROW
    }
}

/// The picture as an SVG file.
pub(in crate::commands::align) fn draw(recording: &StreamRecording, names: &[String]) -> String {
    let (from, to) = recording.range();
    let longest = names.iter().map(|name| printable(name).chars().count()).max().unwrap_or(0).max(7);
    let scale = Scale { from, to, left: MARGIN + longest as f64 * 8.0 + 12.0, right: WIDTH - MARGIN };
    let input_rows = input_rows(recording, names, &scale);
    let bottom =
        input_rows.last().map_or(BUNDLES, |row_of_input| row_of_input.top + height(row_of_input.depth)) + 8.0;
    let mut svg = Svg::new();
    captions(&mut svg, recording);
    axis(&mut svg, &scale, recording.zero, bottom);
    for row_of_input in &input_rows {
        svg.text(
            (MARGIN, row_of_input.top + SAMPLES / 2.0 + 4.5),
            r#"font-weight="600""#,
            &printable(row_of_input.name),
        );
    }
    svg.text((MARGIN, BUNDLES + 4.5), r##"fill="#666""##, "bundles");
    svg.clip((scale.left - 6.0, BUNDLES - 26.0), (scale.right - scale.left + 12.0, bottom - BUNDLES + 30.0));
    svg.open(r#"clip-path="url(#plot)""#);
    for mark in &recording.marks {
        if let Some(row_of_input) = input_rows.get(mark.item.input.index()) {
            sample(&mut svg, &scale, row_of_input, mark, recording.zero);
        }
    }
    let mut labelled = f64::NEG_INFINITY;
    for (place, shape) in recording.shown().iter().enumerate() {
        // What lies outside needs no bytes.
        let (first, last) = shape.extent();
        if last < from || first > to {
            continue;
        }
        bundle(&mut svg, &scale, &input_rows, place, shape, recording.zero);
        let x = scale.x(shape.time);
        if x - labelled > 16.0 && !recording.is_ranged() {
            labelled = x;
            let style = format!(r#"text-anchor="middle" font-size="11" fill="{}""#, colour(place));
            svg.text((x, BUNDLES - 11.0), &style, &(place + 1).to_string());
        }
    }
    svg.close();
    let bottom = legend(&mut svg, recording, bottom + 44.0);
    let title = recording.stream.as_ref().map_or("no samples".to_owned(), |key| format!("stream {key}"));
    svg.finish(WIDTH, bottom + MARGIN, &title)
}

fn height(depth: usize) -> f64 {
    SAMPLES + 8.0 + depth.min(ROWS) as f64 * ROW
}

/// The input_rows from top to bottom, each with a row for what overlaps.
fn input_rows<'a>(recording: &StreamRecording, names: &'a [String], scale: &Scale) -> Vec<InputRow<'a>> {
    let mut top = BUNDLES + 24.0;
    let mut input_rows = Vec::with_capacity(names.len());
    for (input, name) in names.iter().enumerate() {
        let mut ends: Vec<f64> = Vec::new();
        let mut rows = Vec::with_capacity(recording.shown().len());
        for shape in recording.shown() {
            let Some(Some(part)) = shape.parts.get(input) else {
                rows.push(0);
                continue;
            };
            let (from, to) = (scale.x(part.from) - 5.0, scale.x(part.to) + 5.0);
            let free = ends.iter().position(|end| *end <= from).unwrap_or(ends.len());
            match ends.get_mut(free) {
                Some(end) => *end = to,
                None => ends.push(to),
            }
            rows.push(free);
        }
        let depth = ends.len().max(1);
        input_rows.push(InputRow { name, top, rows, depth });
        top += height(depth) + GAP;
    }
    input_rows
}

fn captions(svg: &mut Svg, recording: &StreamRecording) {
    let Some(stream) = &recording.stream else {
        svg.text((MARGIN, 34.0), r#"font-size="18" font-weight="600""#, "No samples");
        return;
    };
    let title = format!("Stream {}", printable(stream.as_str()));
    svg.text((MARGIN, 34.0), r#"font-size="18" font-weight="600""#, &title);
    let bundles = recording.bundles;
    let shown = if recording.is_ranged() {
        let cut = if recording.cut { "; too many to draw them all: the first" } else { "" };
        format!("{} of {bundles} bundles lie in this range{cut}", recording.shown().len())
    } else if bundles > super::BUNDLES {
        format!("The first {} of {bundles} bundles; --plot-from and --plot-to show others", super::BUNDLES)
    } else {
        format!("All {bundles} bundles")
    };
    let zero = lockstep_engine::time::Timestamp::from_nanos(recording.zero);
    let caption = format!("{shown}. 0 s is the event time of the first sample read, {zero}.");
    svg.text((MARGIN, 56.0), r##"fill="#666""##, &caption);
}

fn axis(svg: &mut Svg, scale: &Scale, zero: i64, bottom: f64) {
    for (time, label) in scale.ticks(zero, 9) {
        let x = scale.x(time);
        svg.line((x, BUNDLES + 12.0), (x, bottom), r##"stroke="#e6e6e6""##);
        svg.line((x, bottom), (x, bottom + 5.0), r##"stroke="#666""##);
        svg.text((x, bottom + 19.0), r##"text-anchor="middle" font-size="12" fill="#444""##, &label);
    }
    svg.line((scale.left, bottom), (scale.right, bottom), r##"stroke="#666""##);
}

/// A sample: a tick or, if it lasts, a bar. What no bundle took is pale and has a mark of its own.
fn sample(svg: &mut Svg, scale: &Scale, row_of_input: &InputRow<'_>, mark: &PlottedSample, zero: i64) {
    let (from, to) = (scale.x(mark.time()), scale.x(mark.end()));
    if to < scale.left - 6.0 || from > scale.right + 6.0 {
        return;
    }
    // Bars far longer than the picture would lose their precision.
    let (from, to) = (from.max(scale.left - 50.0), to.min(scale.right + 50.0));
    let fate = match mark.fate {
        PlottedFate::Used => String::new(),
        PlottedFate::Unused => ", in no bundle".to_owned(),
        PlottedFate::Late(by) => format!(", late by {}", show(by)),
        PlottedFate::Duplicate => ", a duplicate".to_owned(),
        PlottedFate::Evicted => ", evicted".to_owned(),
        PlottedFate::TimestampOutlier => ", outliers".to_owned(),
    };
    let seconds = mark.time().saturating_sub(zero) as f64 / 1e9;
    let title = format!("{} {} at {seconds} s{fate}", printable(row_of_input.name), mark.item.id);
    glyph(svg, (from, to), row_of_input.top, mark.fate, mark.end() > mark.time(), &title);
}

fn glyph(svg: &mut Svg, (from, to): (f64, f64), top: f64, fate: PlottedFate, lasts: bool, title: &str) {
    let used = fate == PlottedFate::Used;
    if fate == PlottedFate::Duplicate {
        // The one that it repeats lies below it and has to be seen.
    } else if lasts {
        let style = if used {
            r##"fill="#dfe5ee" stroke="#6b7a90""##
        } else {
            r##"fill="#f7f7f7" stroke="#aaa" stroke-dasharray="3 2""##
        };
        svg.rect((from, top + 3.0), ((to - from).max(1.5), SAMPLES - 6.0), style, title);
    } else {
        let style = if used { r##"fill="#333""## } else { r##"fill="#bbb""## };
        svg.rect((from - 1.25, top), (2.5, SAMPLES), style, title);
    }
    let (x, y) = (if lasts { f64::midpoint(from, to) } else { from }, top + SAMPLES / 2.0);
    match fate {
        PlottedFate::Used | PlottedFate::Unused => {}
        PlottedFate::Late(_) => {
            let style = format!(r#"stroke="{RED}" stroke-width="2.2""#);
            svg.line((x - 5.0, y - 5.0), (x + 5.0, y + 5.0), &style);
            svg.line((x - 5.0, y + 5.0), (x + 5.0, y - 5.0), &style);
        }
        PlottedFate::Duplicate => {
            let points = [(x, y - 6.0), (x + 6.0, y), (x, y + 6.0), (x - 6.0, y), (x, y - 6.0)];
            svg.path(&points, r##"fill="#fff" stroke="#555" stroke-width="1.6""##, title);
        }
        PlottedFate::TimestampOutlier => {
            let points = [(x - 6.0, y + 5.0), (x + 6.0, y + 5.0), (x, y - 6.0), (x - 6.0, y + 5.0)];
            svg.path(&points, &format!(r##"fill="#fff" stroke="{RED}" stroke-width="1.6""##), title);
        }
        PlottedFate::Evicted => {
            let points = [(x - 6.0, y - 5.0), (x + 6.0, y - 5.0), (x, y + 6.0), (x - 6.0, y - 5.0)];
            svg.path(&points, r##"fill="#fff" stroke="#555" stroke-width="1.6""##, title);
        }
    }
}

/// Draws a bundle: its mark on top, and lines down to its samples or window of each input.
fn bundle(svg: &mut Svg, scale: &Scale, input_rows: &[InputRow<'_>], place: usize, shape: &Shape, zero: i64) {
    let colour = colour(place);
    let seconds = shape.time.saturating_sub(zero) as f64 / 1e9;
    let title = format!("bundle at {seconds} s, {}", word(shape.outcome));
    let dashes = if shape.outcome == PlottedOutcome::Complete { "" } else { r#" stroke-dasharray="4 3""# };
    let x = scale.x(shape.time);
    let mut points = vec![(x, BUNDLES)];
    let mut above: Option<(f64, &InputRow<'_>, &PlottedPart)> = None;
    for (row_of_input, part) in input_rows.iter().zip(&shape.parts) {
        let Some(part) = part else { continue };
        let y = row_of_input.row(place);
        points.push((scale.x(shape.time.clamp(part.from, part.to)), y));
        // Where nothing overlaps the area between tells more than a line.
        if let Some((top, upper, last)) = above
            && upper.depth == 1
            && row_of_input.depth == 1
            && last.to.saturating_sub(last.from).max(part.to.saturating_sub(part.from)) > 0
        {
            let area = [
                (scale.x(last.from), top),
                (scale.x(last.to), top),
                (scale.x(part.to), y),
                (scale.x(part.from), y),
            ];
            svg.path(&area, &format!(r#"fill="{colour}" fill-opacity="0.14""#), &title);
        }
        above = Some((y, row_of_input, part));
    }
    let style = format!(r#"fill="none" stroke="{colour}" stroke-width="1.5" stroke-opacity="0.75"{dashes}"#);
    svg.path(&points, &style, &title);
    for (row_of_input, part) in input_rows.iter().zip(&shape.parts) {
        let Some(part) = part else { continue };
        let (from, to, y) = (scale.x(part.from), scale.x(part.to), row_of_input.row(place));
        let (from, to) = (from.max(scale.left - 50.0), to.min(scale.right + 50.0));
        if part.to > part.from {
            let dashes = if part.empty { r#" stroke-dasharray="2 4""# } else { "" };
            svg.line((from, y), (to, y), &format!(r#"stroke="{colour}" stroke-width="3"{dashes}"#));
            for end in [from, to] {
                svg.line((end, y - 3.5), (end, y + 3.5), &format!(r#"stroke="{colour}" stroke-width="1.5""#));
            }
        } else {
            svg.circle((from, y), 3.5, &format!(r#"fill="{colour}""#), &title);
        }
    }
    head(svg, (x, BUNDLES), colour, shape.outcome, &title);
}

fn word(outcome: PlottedOutcome) -> &'static str {
    match outcome {
        PlottedOutcome::Complete => "complete",
        PlottedOutcome::Incomplete => "not complete",
        PlottedOutcome::Lost => "dropped or dead-lettered",
    }
}

/// Draws the mark of a bundle.
fn head(svg: &mut Svg, (x, y): (f64, f64), colour: &str, outcome: PlottedOutcome, title: &str) {
    let fill = if outcome == PlottedOutcome::Complete { colour } else { "#fff" };
    svg.circle((x, y), 6.0, &format!(r#"fill="{fill}" stroke="{colour}" stroke-width="2""#), title);
    if outcome == PlottedOutcome::Lost {
        let style = format!(r#"stroke="{RED}" stroke-width="2""#);
        svg.line((x - 4.0, y - 4.0), (x + 4.0, y + 4.0), &style);
        svg.line((x - 4.0, y + 4.0), (x + 4.0, y - 4.0), &style);
    }
}

/// Draws the legend of everything in the plot. Returns its end.
fn legend(svg: &mut Svg, recording: &StreamRecording, top: f64) -> f64 {
    let (mut x, mut y) = (MARGIN, top);
    let mut entry = |svg: &mut Svg, text: &str, show: &dyn Fn(&mut Svg, f64, f64)| {
        let width = 40.0 + text.chars().count() as f64 * 6.8;
        if x + width > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + 34.0);
        }
        show(svg, x, y);
        svg.text((x + 24.0, y + 4.5), r##"font-size="12" fill="#444""##, text);
        x += width;
    };
    let marks = |is: fn(&PlottedSample) -> bool| recording.marks.iter().any(is);
    for (is, fate, text) in [
        ((|mark| mark.fate == PlottedFate::Used) as fn(&PlottedSample) -> bool, PlottedFate::Used, "sample"),
        (|mark| mark.fate == PlottedFate::Unused, PlottedFate::Unused, "in no bundle"),
        (|mark| matches!(mark.fate, PlottedFate::Late(_)), PlottedFate::Late(0), "late"),
        (|mark| mark.fate == PlottedFate::Duplicate, PlottedFate::Duplicate, "duplicate"),
        (|mark| mark.fate == PlottedFate::Evicted, PlottedFate::Evicted, "evicted"),
        (|mark| mark.fate == PlottedFate::TimestampOutlier, PlottedFate::TimestampOutlier, "outliers"),
    ] {
        if marks(is) {
            let lasts = recording.marks.iter().any(|mark| is(mark) && mark.end() > mark.time());
            let text = if lasts && fate == PlottedFate::Used { "sample, with its length" } else { text };
            entry(svg, text, &|svg, x, y| {
                let until = if lasts { x + 18.0 } else { x + 9.0 };
                glyph(svg, (if lasts { x } else { x + 9.0 }, until), y - SAMPLES / 2.0, fate, lasts, "");
            });
        }
    }
    let colour = colour(0);
    for outcome in [PlottedOutcome::Complete, PlottedOutcome::Incomplete, PlottedOutcome::Lost] {
        if recording.shown().iter().any(|shape| shape.outcome == outcome) {
            let text = format!("bundle, {}", word(outcome));
            entry(svg, &text, &|svg, x, y| head(svg, (x + 9.0, y), colour, outcome, ""));
        }
    }
    if recording.shown().iter().flat_map(|shape| &shape.parts).flatten().any(|part| part.to > part.from) {
        entry(svg, "the time a bundle asks for", &|svg, x, y| {
            svg.line((x, y), (x + 18.0, y), &format!(r#"stroke="{colour}" stroke-width="3""#));
        });
    }
    if recording.shown().iter().flat_map(|shape| &shape.parts).flatten().any(|part| part.to == part.from) {
        entry(svg, "the sample it takes", &|svg, x, y| {
            svg.circle((x + 9.0, y), 3.5, &format!(r#"fill="{colour}""#), "");
        });
    }
    y + SAMPLES / 2.0
}
