//! A result in one line, for people. What has another shape is shown as it is.

use serde_json::Value;

/// The most of a value that is shown.
const WIDTH: usize = 60;

/// `cam-1  2026-03-01T12:00:00.25Z  faces: 2 …  voice: 0.93  skew audio 1.2 ms`
pub fn render_line(result: &Value) -> String {
    let (Some(stream), Some(outputs)) =
        (result.get("stream").and_then(Value::as_str), result.get("outputs").and_then(Value::as_object))
    else {
        return result.to_string();
    };
    let mut parts = vec![stream.to_owned()];
    parts.extend(result.get("event_time").and_then(Value::as_str).map(str::to_owned));
    parts.extend(outputs.iter().map(|(step, output)| format!("{step}: {}", output_text(output))));
    let skews: Vec<String> = result
        .get("inputs")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, input)| {
            let skew = input.get("skew_ns")?.as_f64().filter(|skew| *skew != 0.0)?;
            Some(format!("{name} {:+.1} ms", skew / 1e6))
        })
        .collect();
    if !skews.is_empty() {
        parts.push(format!("skew {}", skews.join(", ")));
    }
    if result.get("complete").and_then(Value::as_bool) == Some(false) {
        parts.push("(partial)".into());
    }
    parts.join("  ")
}

fn output_text(output: &Value) -> String {
    let Some(fields) = output.as_object() else { return shown(output) };
    if let Some(why) = fields.get("skipped") {
        return format!("skipped ({})", shown(why));
    }
    let views: Vec<String> = fields
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "model" | "version"))
        .map(|(name, value)| format!("{name} {}", shown(value)))
        .collect();
    if views.is_empty() { "-".into() } else { views.join(", ") }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => format!("{float:.2}"),
            _ => number.to_string(),
        },
        Value::Array(items) if items.is_empty() => "none".into(),
        // People, boxes, labels: how many, and what stands in the first few.
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            let first: Vec<String> = items.iter().take(3).map(brief).collect();
            format!("{} [{}]", items.len(), first.join("; "))
        }
        other => other.to_string(),
    };
    cut(&text)
}

fn brief(item: &Value) -> String {
    let Some(fields) = item.as_object() else { return item.to_string() };
    let named = ["label", "name", "score", "probability"].iter().filter_map(|name| fields.get(*name));
    let texts: Vec<String> = named.map(shown).collect();
    if texts.is_empty() { item.to_string() } else { texts.join(" ") }
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
            "id": "x", "stream": "cam-1", "event_time": "2026-03-01T12:00:00Z", "complete": false,
            "inputs": {"video": {"skew_ns": 0}, "audio": {"skew_ns": -1_500_000}},
            "outputs": {
                "faces": {"model": "mtcnn", "version": "1", "boxes": [{"label": "face", "score": 0.987}]},
                "voice": {"skipped": "no audio"}
            }
        }));
        let expected = "cam-1  2026-03-01T12:00:00Z  faces: boxes 1 [face 0.99]  voice: skipped (no audio)  \
                        skew audio -1.5 ms  (partial)";
        assert_eq!(line, expected);
    }

    #[test]
    fn an_unknown_shape_is_shown_as_it_is() {
        for value in [json!([1, 2]), json!({"a": null}), json!({"stream": 3, "outputs": []}), json!(null)] {
            assert_eq!(render_line(&value), value.to_string());
        }
        assert!(
            render_line(&json!({"stream": "s", "outputs": {"a": 1, "b": {"c": [[1], [2]]}}}))
                .contains("a: 1")
        );
    }
}
