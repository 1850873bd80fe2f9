//! A result in one line, for people. A value of another shape is shown as JSON.

use serde_json::{Map, Value};

/// The most of a value that is shown.
const WIDTH: usize = 60;

/// `12:00:00.250  cam-1  faces: 2 (1.00 0.98)  speech: yes 0.93  skew 1.2 ms  latency 61 ms`
pub(crate) fn render_line(result: &Value) -> String {
    let (Some(stream), Some(outputs)) = (text(result, "stream"), object(result, "outputs")) else {
        return result.to_string();
    };
    let time = text(result, "event_time").map_or_else(|| "-".into(), time_of_day);
    let mut parts = vec![time, stream.to_owned()];
    for (step, output) in outputs {
        match output.as_object() {
            Some(views) => of_step(step, views, &mut parts),
            None => parts.push(format!("{step}: {}", shown(output))),
        }
    }
    let inputs = object(result, "inputs").into_iter().flatten();
    let of_inputs: Vec<(&String, Option<f64>, Option<f64>)> =
        inputs.map(|(name, input)| (name, number(input, "skew_ns"), number(input, "coverage"))).collect();
    if let Some(skew) = of_inputs.iter().filter_map(|(_, skew, _)| *skew).map(f64::abs).reduce(f64::max) {
        parts.push(format!("skew {:.1} ms", skew / 1e6));
    }
    if let Some(times) = object(result, "timing_ns") {
        let total: f64 = times.values().filter_map(Value::as_f64).sum();
        parts.push(format!("latency {:.0} ms", total / 1e6));
    }
    if result.get("complete").and_then(Value::as_bool) == Some(false) {
        let lacking: Vec<String> = of_inputs
            .iter()
            .filter_map(|(name, skew, coverage)| match (skew, coverage) {
                (None, _) => Some(format!("no {name}")),
                (_, Some(share)) if *share < 1.0 => Some(format!("{name} {:.0} %", share * 100.0)),
                _ => None,
            })
            .collect();
        parts.push(if lacking.is_empty() {
            "(partial)".into()
        } else {
            format!("(partial: {})", lacking.join(", "))
        });
    }
    parts.join("  ")
}

/// The views of a step under their own names: those are what the pipeline's author chose to show.
fn of_step(step: &str, views: &Map<String, Value>, parts: &mut Vec<String>) {
    if let Some(why) = views.get("skipped") {
        parts.push(format!("{step}: skipped ({})", shown(why)));
        return;
    }
    if let Some(each) = views.get("each").and_then(Value::as_array).filter(|_| views.contains_key("of")) {
        return of_detections(each, parts);
    }
    let views = views.iter().filter(|(name, _)| !matches!(name.as_str(), "model" | "version"));
    parts.extend(views.map(|(name, value)| format!("{name}: {}", shown(value))));
}

/// The views of a step that ran once per detection: each with its values for the first few detections.
fn of_detections(each: &[Value], parts: &mut Vec<String>) {
    let names = each.first().and_then(Value::as_object).into_iter().flat_map(Map::keys);
    for name in names.filter(|name| !matches!(name.as_str(), "index" | "box")) {
        let first: Vec<String> = each.iter().take(3).filter_map(|entry| entry.get(name)).map(shown).collect();
        parts.push(cut(&format!("{name}: {} ({})", each.len(), first.join(", "))));
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn object<'a>(value: &'a Value, name: &str) -> Option<&'a Map<String, Value>> {
    value.get(name).and_then(Value::as_object)
}

fn number(value: &Value, name: &str) -> Option<f64> {
    value.get(name).and_then(Value::as_f64)
}

/// `12:00:00.250` of `2026-03-01T12:00:00.25Z`; anything else as it is.
pub(crate) fn time_of_day(time: &str) -> String {
    match time.split_once('T').and_then(|(_, rest)| rest.strip_suffix('Z')) {
        Some(rest) => {
            let (clock, fraction) = rest.split_once('.').unwrap_or((rest, ""));
            format!("{clock}.{:0<3.3}", fraction)
        }
        None => time.to_owned(),
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => format!("{float:.2}"),
            _ => number.to_string(),
        },
        Value::Array(items) if items.is_empty() => "none".into(),
        // People, boxes, labels: their number, and the fields of the first few.
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            let first: Vec<String> = items.iter().take(3).map(brief).collect();
            format!("{} ({})", items.len(), first.join(" "))
        }
        Value::Array(items) => items.iter().take(8).map(shown).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => brief_object(fields),
        other => other.to_string(),
    };
    cut(&text)
}

fn brief(item: &Value) -> String {
    item.as_object().map_or_else(|| item.to_string(), brief_object)
}

fn brief_object(fields: &Map<String, Value>) -> String {
    let detected = fields.get("detected").and_then(Value::as_bool).map(|yes| if yes { "yes" } else { "no" });
    let named =
        ["text", "label", "name", "score", "scores"].iter().filter_map(|name| fields.get(*name)).map(shown);
    let texts: Vec<String> = detected.map(str::to_owned).into_iter().chain(named).collect();
    if texts.is_empty() { Value::Object(fields.clone()).to_string() } else { texts.join(" ") }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    text.chars().take(WIDTH - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_result_is_one_readable_line() {
        let line = render_line(&json!({
            "id": "x", "stream": "cam-1", "event_time": "2026-03-01T12:00:00.25Z", "complete": false,
            "inputs": {"video": {"skew_ns": 0}, "audio": {"skew_ns": -1_500_000, "coverage": 0.5}},
            "outputs": {
                "faces": {"model": "mtcnn", "version": "1", "faces": [{"box": [1], "score": 0.987}, {"score": 0.9}]},
                "voice": {"speech": {"detected": true, "score": 0.5}}
            },
            "timing_ns": {"kafka": 1_000_000, "model": 60_000_000}
        }));
        let expected = "12:00:00.250  cam-1  faces: 2 (0.99 0.90)  speech: yes 0.50  skew 1.5 ms  latency 61 ms  \
                        (partial: audio 50 %)";
        assert_eq!(line, expected);
    }

    #[test]
    fn step_on_each_detection_shows_its_views_of_the_first_few() {
        let line = render_line(&json!({
            "stream": "cam-1", "event_time": "2026-03-01T12:00:00Z", "complete": true, "inputs": {},
            "outputs": {"emotion": {"model": "emotion", "version": "1", "of": "faces.faces", "each": [
                {"index": 0, "box": [1, 2, 3, 4], "mood": [{"class": 1, "label": "happy", "score": 0.9}]},
                {"index": 2, "box": [1, 2, 3, 4], "mood": [{"class": 2, "label": "sad", "score": 0.25}]}
            ]}}
        }));
        assert_eq!(line, "12:00:00.000  cam-1  mood: 2 (1 (happy 0.90), 1 (sad 0.25))");
    }

    #[test]
    fn a_step_that_was_skipped_says_why() {
        let line = render_line(&json!({
            "stream": "cam-1", "event_time": "2026-03-01T12:00:00Z", "complete": false,
            "inputs": {"audio": {"samples": [], "skew_ns": null}},
            "outputs": {"voice": {"skipped": "input audio is missing", "model": "voice", "version": "1"}}
        }));
        assert_eq!(line, "12:00:00.000  cam-1  voice: skipped (input audio is missing)  (partial: no audio)");
    }

    #[test]
    fn an_unknown_shape_is_shown_as_it_is() {
        for value in [json!([1, 2]), json!({"a": null}), json!({"stream": 3, "outputs": []}), json!(null)] {
            assert_eq!(render_line(&value), value.to_string());
        }
        let line = render_line(&json!({"stream": "s", "outputs": {"a": 1, "b": {"c": [[1], [2]]}}}));
        assert_eq!(line, "-  s  a: 1  c: 2 ([1] [2])");
    }
}
