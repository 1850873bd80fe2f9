//! `--plot`: the course of a simulation as SVG, with a line for each policy in each panel.

use lockstep_engine::control::scaling::model::Point;

use super::Simulation;
use crate::plot::scale::Scale;
use crate::plot::svg::Svg;
use crate::plot::values::Values;
use crate::plot::{RED, colour};

const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 24.0;
const LEFT: f64 = 96.0;
const TOP: f64 = 96.0;
const PANEL: f64 = 118.0;
const GAP: f64 = 40.0;
/// More points than that are not told apart: the greatest of each stretch is drawn.
const POINTS: usize = 1_000;

/// What a panel shows.
struct Panel {
    title: String,
    /// Counts change at once: they are drawn as stairs.
    stairs: bool,
    value: Box<dyn Fn(&Point) -> f64>,
    /// A line across, with what it is.
    mark: Option<(f64, String)>,
}

/// The picture as an SVG file.
pub(super) fn draw(simulation: &Simulation) -> String {
    let panels = panels(simulation);
    let to = i64::from(simulation.seconds) * 1_000_000_000;
    let scale = Scale { from: 0, to, left: LEFT, right: WIDTH - MARGIN };
    let bottom = TOP + panels.len() as f64 * (PANEL + GAP) - GAP;
    let mut svg = Svg::new();
    captions(&mut svg, simulation);
    for (time, label) in scale.ticks(0, 10) {
        let x = scale.x(time);
        svg.line((x, TOP), (x, bottom), r##"stroke="#eee""##);
        svg.text((x, bottom + 20.0), r##"text-anchor="middle" font-size="12" fill="#666""##, &label);
    }
    for (place, panel) in panels.iter().enumerate() {
        let top = TOP + place as f64 * (PANEL + GAP);
        draw_panel(&mut svg, simulation, panel, &scale, (top, top + PANEL));
    }
    svg.finish(WIDTH, bottom + 20.0 + MARGIN, "Simulated scaling")
}

fn panels(simulation: &Simulation) -> Vec<Panel> {
    let panel = |title: &str, stairs, value: fn(&Point) -> f64| Panel {
        title: title.to_owned(),
        stairs,
        value: Box::new(value),
        mark: None,
    };
    let mut age = panel("age of the oldest event that waits, seconds", false, |point| point.age);
    age.mark = Some((simulation.spec.target.age.as_secs_f64(), "target".to_owned()));
    let mut panels = vec![
        panel("records that arrive per second", true, |point| point.rate),
        panel("results per second", false, |point| point.done as f64),
        panel("consumer lag, records", false, |point| point.lag as f64),
        age,
        panel("shards", true, |point| point.shards as f64),
    ];
    panels.extend(simulation.plant.steps.iter().enumerate().map(|(place, step)| Panel {
        title: format!("instances of {}", step.name),
        stairs: true,
        value: Box::new(move |point| point.instances.get(place).copied().unwrap_or(0) as f64),
        mark: None,
    }));
    panels.push(panel("latency from Kafka to the result, 99th percentile, seconds", false, |point| {
        point.latency.map_or(f64::NAN, |(_, p99)| p99)
    }));
    panels.push(panel("processes that the load asks for", false, |point| point.replicas.unwrap_or(f64::NAN)));
    panels
}

fn captions(svg: &mut Svg, simulation: &Simulation) {
    svg.text((MARGIN, 34.0), r#"font-size="18" font-weight="600""#, "Simulated scaling");
    let words = format!("{} cores, {} s of virtual time", simulation.plant.cores, simulation.seconds);
    svg.text((MARGIN, 56.0), r##"fill="#666""##, &words);
    let mut x = WIDTH - MARGIN;
    for (place, run) in simulation.runs.iter().enumerate().rev() {
        let name = run.policy.as_str();
        x -= name.chars().count() as f64 * 8.0 + 44.0;
        svg.line((x, 30.0), (x + 22.0, 30.0), &format!(r#"stroke="{}" stroke-width="3""#, colour(place)));
        svg.text((x + 28.0, 34.5), "", name);
    }
}

fn draw_panel(
    svg: &mut Svg,
    simulation: &Simulation,
    panel: &Panel,
    scale: &Scale,
    (top, bottom): (f64, f64),
) {
    let points = || simulation.runs.iter().flat_map(|run| &run.course.points);
    let largest = points().map(&panel.value).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let largest = panel.mark.as_ref().map_or(largest, |(mark, _)| largest.max(*mark));
    let values = Values::new(largest, 3, (top, bottom));
    svg.text((LEFT, top - 9.0), r##"font-size="12" font-weight="600" fill="#444""##, &panel.title);
    for (value, label) in values.ticks() {
        let y = values.y(value);
        svg.line((scale.left, y), (scale.right, y), r##"stroke="#ddd""##);
        let style = r##"text-anchor="end" font-size="12" fill="#666""##;
        svg.text((scale.left - 8.0, y + 4.0), style, &label);
    }
    if let Some((mark, name)) = &panel.mark {
        let y = values.y(*mark);
        svg.line((scale.left, y), (scale.right, y), &format!(r#"stroke="{RED}" stroke-dasharray="5 4""#));
        let style = format!(r#"text-anchor="end" font-size="12" fill="{RED}""#);
        svg.text((scale.right - 4.0, y - 4.0), &style, name);
    }
    for (place, run) in simulation.runs.iter().enumerate() {
        let style =
            format!(r#"fill="none" stroke="{}" stroke-width="1.8" stroke-linejoin="round""#, colour(place));
        // What is not known leaves a gap.
        for line in lines(&run.course.points, panel, scale, &values) {
            svg.path(&line, &style, run.policy.as_str());
        }
    }
}

fn lines(points: &[Point], panel: &Panel, scale: &Scale, values: &Values) -> Vec<Vec<(f64, f64)>> {
    let every = points.len().div_ceil(POINTS).max(1);
    let mut lines: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    for stretch in points.chunks(every) {
        let value = stretch.iter().map(&panel.value).fold(f64::NAN, f64::max);
        let at = stretch.last().map_or(0.0, |point| point.at);
        let (x, y) = (scale.x((at * 1e9) as i64), values.y(value));
        let Some(line) = lines.last_mut() else { continue };
        if value.is_nan() {
            if !line.is_empty() {
                lines.push(Vec::new());
            }
            continue;
        }
        if panel.stairs
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
