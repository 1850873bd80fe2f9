//! The plot of a load and its scaling over time, as SVG, for simulations and running processes.

use super::scale::Scale;
use super::svg::Svg;
use super::values::Values;
use super::{RED, colour};

const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 24.0;
const LEFT: f64 = 96.0;
const TOP: f64 = 96.0;
const PANEL: f64 = 118.0;
const GAP: f64 = 40.0;
/// More points than that are not told apart: the greatest of each stretch is drawn.
pub(crate) const POINTS: usize = 1_000;

/// An actual and a desired number. NaN if unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Count {
    pub(crate) now: f64,
    pub(crate) wanted: f64,
}

impl Count {
    pub(crate) const UNKNOWN: Self = Self { now: f64::NAN, wanted: f64::NAN };
}

/// The measures at one time. NaN if unknown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moment {
    /// Seconds since the start.
    pub(crate) at: f64,
    /// Records that arrive, per second.
    pub(crate) arrivals: f64,
    /// Results per second.
    pub(crate) results: f64,
    /// Records that wait in Kafka.
    pub(crate) lag: f64,
    /// The age of the oldest of them, in seconds.
    pub(crate) age: f64,
    pub(crate) shards: Count,
    /// The instances of each step, in the order of the plot's steps. Steps beyond the end are unknown.
    pub(crate) instances: Vec<Count>,
    /// From Kafka to the result, the 99th percentile in seconds.
    pub(crate) latency: f64,
    /// Processes that the load asks for.
    pub(crate) replicas: f64,
}

impl Moment {
    /// One of which nothing is known.
    pub(crate) fn unknown(at: f64) -> Self {
        Self {
            at,
            arrivals: f64::NAN,
            results: f64::NAN,
            lag: f64::NAN,
            age: f64::NAN,
            shards: Count::UNKNOWN,
            instances: Vec::new(),
            latency: f64::NAN,
            replicas: f64::NAN,
        }
    }

    /// A stretch of time told as the later of two: the greatest of each that is known.
    pub(crate) fn merge(self, later: Self) -> Self {
        let count = |a: Count, b: Count| Count { now: a.now.max(b.now), wanted: a.wanted.max(b.wanted) };
        let of = |counts: &[Count], place| counts.get(place).copied().unwrap_or(Count::UNKNOWN);
        let steps = self.instances.len().max(later.instances.len());
        let instances = (0..steps).map(|step| count(of(&self.instances, step), of(&later.instances, step)));
        Self {
            at: later.at,
            arrivals: self.arrivals.max(later.arrivals),
            results: self.results.max(later.results),
            lag: self.lag.max(later.lag),
            age: self.age.max(later.age),
            shards: count(self.shards, later.shards),
            instances: instances.collect(),
            latency: self.latency.max(later.latency),
            replicas: self.replicas.max(later.replicas),
        }
    }
}

/// The measures of one run, in order of time.
#[derive(Debug)]
pub(crate) struct Course {
    /// The name in the legend, empty for a single run.
    pub(crate) name: String,
    pub(crate) moments: Vec<Moment>,
}

/// Courses over the same time, with a line for each in each panel.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) title: String,
    /// The line under the title.
    pub(crate) words: String,
    /// The length in seconds.
    pub(crate) seconds: f64,
    /// The age that is kept to, in seconds.
    pub(crate) target: Option<f64>,
    /// The steps that have instances.
    pub(crate) steps: Vec<String>,
    pub(crate) courses: Vec<Course>,
}

type Value = Box<dyn Fn(&Moment) -> f64>;

/// One panel of the plot.
struct Panel {
    title: String,
    /// Counts change at once: they are drawn as stairs.
    stairs: bool,
    value: Value,
    /// Dashed beside it.
    wanted: Option<Value>,
    /// A horizontal line with its label.
    mark: Option<(f64, &'static str)>,
}

impl Panel {
    fn new(title: &str, stairs: bool, value: fn(&Moment) -> f64) -> Self {
        Self { title: title.to_owned(), stairs, value: Box::new(value), wanted: None, mark: None }
    }

    fn counts(title: String, count: impl Fn(&Moment) -> Count + Clone + 'static) -> Self {
        let now = count.clone();
        Self {
            title,
            stairs: true,
            value: Box::new(move |moment| now(moment).now),
            wanted: Some(Box::new(move |moment| count(moment).wanted)),
            mark: None,
        }
    }
}

/// The picture as an SVG file.
pub(crate) fn draw(picture: &Picture) -> String {
    let panels = panels(picture);
    let to = (picture.seconds * 1e9) as i64;
    let scale = Scale { from: 0, to: to.max(1), left: LEFT, right: WIDTH - MARGIN };
    let bottom = TOP + panels.len() as f64 * (PANEL + GAP) - GAP;
    let mut svg = Svg::new();
    captions(&mut svg, picture);
    for (time, label) in scale.ticks(0, 10) {
        let x = scale.x(time);
        svg.line((x, TOP), (x, bottom), r##"stroke="#eee""##);
        svg.text((x, bottom + 20.0), r##"text-anchor="middle" font-size="12" fill="#666""##, &label);
    }
    for (place, panel) in panels.iter().enumerate() {
        let top = TOP + place as f64 * (PANEL + GAP);
        draw_panel(&mut svg, &picture.courses, panel, &scale, (top, top + PANEL));
    }
    svg.finish(WIDTH, bottom + 20.0 + MARGIN, &picture.title)
}

fn panels(picture: &Picture) -> Vec<Panel> {
    let mut age = Panel::new("age of the oldest event that waits, seconds", false, |moment| moment.age);
    age.mark = picture.target.map(|target| (target, "target"));
    let mut panels = vec![
        Panel::new("records that arrive per second", true, |moment| moment.arrivals),
        Panel::new("results per second", false, |moment| moment.results),
        Panel::new("consumer lag, records", false, |moment| moment.lag),
        age,
        Panel::counts("shards".to_owned(), |moment| moment.shards),
    ];
    panels.extend(picture.steps.iter().enumerate().map(|(place, step)| {
        Panel::counts(format!("instances of {step}"), move |moment| {
            moment.instances.get(place).copied().unwrap_or(Count::UNKNOWN)
        })
    }));
    let latency = "latency from Kafka to the result, 99th percentile, seconds";
    panels.push(Panel::new(latency, false, |moment| moment.latency));
    panels.push(Panel::new("processes that the load asks for", false, |moment| moment.replicas));
    panels
}

fn captions(svg: &mut Svg, picture: &Picture) {
    svg.text((MARGIN, 34.0), r#"font-size="18" font-weight="600""#, &picture.title);
    svg.text((MARGIN, 56.0), r##"fill="#666""##, &picture.words);
    let mut x = WIDTH - MARGIN;
    for (place, course) in picture.courses.iter().enumerate().rev().filter(|(_, it)| !it.name.is_empty()) {
        x -= course.name.chars().count() as f64 * 8.0 + 44.0;
        svg.line((x, 30.0), (x + 22.0, 30.0), &format!(r#"stroke="{}" stroke-width="3""#, colour(place)));
        svg.text((x + 28.0, 34.5), "", &course.name);
    }
}

fn draw_panel(svg: &mut Svg, courses: &[Course], panel: &Panel, scale: &Scale, (top, bottom): (f64, f64)) {
    let known = |value: &Value| {
        let values = courses.iter().flat_map(|course| &course.moments).map(value);
        values.filter(|value| value.is_finite()).reduce(f64::max)
    };
    let wanted = panel.wanted.as_ref().and_then(|wanted| Some((wanted, known(wanted)?)));
    let marks = [known(&panel.value), wanted.map(|(_, most)| most), panel.mark.map(|(mark, _)| mark)];
    let values = Values::new(marks.into_iter().flatten().fold(0.0, f64::max), 3, (top, bottom));
    let note = if wanted.is_some() { ", dashed: wanted" } else { "" };
    let title = format!("{}{note}", panel.title);
    svg.text((LEFT, top - 9.0), r##"font-size="12" font-weight="600" fill="#444""##, &title);
    for (value, label) in values.ticks() {
        let y = values.y(value);
        svg.line((scale.left, y), (scale.right, y), r##"stroke="#ddd""##);
        let style = r##"text-anchor="end" font-size="12" fill="#666""##;
        svg.text((scale.left - 8.0, y + 4.0), style, &label);
    }
    if let Some((mark, name)) = panel.mark {
        let y = values.y(mark);
        svg.line((scale.left, y), (scale.right, y), &format!(r#"stroke="{RED}" stroke-dasharray="5 4""#));
        let style = format!(r#"text-anchor="end" font-size="12" fill="{RED}""#);
        svg.text((scale.right - 4.0, y - 4.0), &style, name);
    }
    for (place, Course { name, moments }) in courses.iter().enumerate() {
        let stroke = format!(r#"fill="none" stroke="{}" stroke-linejoin="round""#, colour(place));
        let drawn = [
            (wanted.map(|(wanted, _)| wanted), r#"stroke-width="1.4" stroke-dasharray="6 4""#),
            (Some(&panel.value), r#"stroke-width="1.8""#),
        ];
        for (value, width) in drawn {
            // Unknown values leave a gap.
            let lines = value.map(|value| lines(moments, value, panel.stairs, scale, &values));
            for line in lines.unwrap_or_default() {
                svg.path(&line, &format!("{stroke} {width}"), name);
            }
        }
    }
}

fn lines(
    moments: &[Moment],
    value: &Value,
    stairs: bool,
    scale: &Scale,
    values: &Values,
) -> Vec<Vec<(f64, f64)>> {
    let every = moments.len().div_ceil(POINTS).max(1);
    let mut lines: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    for stretch in moments.chunks(every) {
        let value = stretch.iter().map(value).fold(f64::NAN, f64::max);
        let at = stretch.last().map_or(0.0, |moment| moment.at);
        let (x, y) = (scale.x((at * 1e9) as i64), values.y(value));
        let Some(line) = lines.last_mut() else { continue };
        if value.is_nan() {
            if !line.is_empty() {
                lines.push(Vec::new());
            }
            continue;
        }
        if stairs
            && let Some((_, before)) = line.last().copied()
            && (before - y).abs() > 0.01
        {
            line.push((x, before));
        }
        line.push((x, y));
    }
    lines.retain(|line| line.len() > 1);
    lines
}
