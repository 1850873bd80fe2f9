//! A result of `config/scene.toml` as a caption, for people.

use std::fmt::Write;

use serde_json::Value;

use crate::commands::tail::time_of_day;

/// The explanation of what a caption shows.
pub(super) const LEGEND: &str = "\
Each caption: who is on screen, whether someone speaks, what is seen with its probability; below it what is said, in quotes.
The bar is the cosine of a text's meaning and that of what is seen, full at 0.6. About 0.3 and more is a match, below 0.2 is
none. It is no probability, and nothing is trained: a picture of no ImageNet class has no meaning to it.
";

/// The cosine at which a bar is full, and the number of its blocks.
const FULL: f64 = 0.6;
const BLOCKS: usize = 12;

const INDENT: &str = "              ";

/// The caption of a result. `notes` are the texts that were published, in their order, again and again.
///
/// ```text
/// 15:13:28.044  2 faces  speech 0.98  sees Windsor tie 0.42, suit 0.21
///               "Today, after two years of"
///               ███████████░ 0.55  He wears a suit and a tie.
/// ```
pub(super) fn caption(result: &Value, notes: &[String]) -> String {
    let outputs = &result["outputs"];
    let time = result["event_time"].as_str().map_or_else(|| "-".to_owned(), time_of_day);
    let mut text = format!("{time:12}  {}  {}", faces(outputs), speech(outputs));
    if let Some(seen) = seen(outputs) {
        let _ = write!(text, "  sees {seen}");
    }
    // The words are unsure if the model found them unlikely itself: mostly they are invented.
    if let Some(said) = outputs["words"]["said"]["text"].as_str().filter(|said| !said.is_empty()) {
        let unsure = outputs["words"]["sure"]["score"].as_f64().is_some_and(|sure| sure < -1.0);
        let _ = write!(text, "\n{INDENT}\"{said}\"{}", if unsure { " (unsure)" } else { "" });
    }
    for (step, of) in [("talk_fit", "what is said".to_owned()), ("note_fit", note(result, notes))] {
        if let Some(cosine) = outputs[step][step]["score"].as_f64() {
            let _ = write!(text, "\n{INDENT}{} {cosine:5.2}  {of}", bar(cosine));
        }
    }
    text
}

fn faces(outputs: &Value) -> String {
    match outputs["faces"]["faces"].as_array().map(Vec::len) {
        None => "no picture".to_owned(),
        Some(1) => "1 face ".to_owned(),
        Some(count) => format!("{count} faces"),
    }
}

fn speech(outputs: &Value) -> String {
    let speech = &outputs["voice"]["speech"];
    match (speech["detected"].as_bool(), speech["score"].as_f64()) {
        (Some(true), Some(score)) => format!("speech {score:.2}"),
        (Some(false), _) => "nobody speaks".to_owned(),
        _ => "no sound".to_owned(),
    }
}

/// The two best classes.
fn seen(outputs: &Value) -> Option<String> {
    let classes = outputs["seen"]["seen"].as_array()?.iter().take(2);
    let named = |class: &Value| Some(format!("{} {:.2}", class["label"].as_str()?, class["score"].as_f64()?));
    Some(classes.filter_map(named).collect::<Vec<_>>().join(", "))
}

/// The note of a result. Its topic has one partition, so the offset counts the notes.
fn note(result: &Value, notes: &[String]) -> String {
    let offset = result["inputs"]["text"]["samples"][0]["offset"].as_u64();
    let place = offset.and_then(|offset| usize::try_from(offset).ok()?.checked_rem(notes.len()));
    place.and_then(|place| notes.get(place)).map_or_else(|| "the note".to_owned(), Clone::clone)
}

fn bar(cosine: f64) -> String {
    // The cast saturates; NaN gives an empty bar.
    let full = ((cosine / FULL).clamp(0.0, 1.0) * BLOCKS as f64).round() as usize;
    (0..BLOCKS).map(|block| if block < full { '█' } else { '░' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn result(words: Value) -> Value {
        json!({
            "event_time": "2026-03-01T15:13:28.044Z",
            "inputs": {"text": {"samples": [{"partition": 0, "offset": 5, "event_time_ns": 0}]}},
            "outputs": {
                "faces": {"faces": [{"score": 1.0}, {"score": 0.9}]},
                "voice": {"speech": {"score": 0.982, "detected": true}},
                "words": words,
                "seen": {"seen": [{"label": "Windsor tie", "score": 0.42}, {"label": "suit", "score": 0.206}, {"label": "gown", "score": 0.1}]},
                "note_fit": {"note_fit": {"score": 0.3}}
            }
        })
    }

    #[test]
    fn caption_says_who_is_seen_and_what_is_said() {
        let notes = ["first", "second", "third"].map(str::to_owned);
        let words = json!({"said": {"text": "Today, after two years of"}, "sure": {"score": -0.3}});
        let expected = "15:13:28.044  2 faces  speech 0.98  sees Windsor tie 0.42, suit 0.21\n              \
                        \"Today, after two years of\"\n              ██████░░░░░░  0.30  third";
        assert_eq!(caption(&result(words), &notes), expected);
    }

    #[test]
    fn caption_leaves_out_what_was_skipped() {
        let mut result = result(json!({"skipped": "voice.speech is 0.01"}));
        result["outputs"]["voice"]["speech"] = json!({"score": 0.01, "detected": false});
        result["outputs"]["note_fit"] = json!({"skipped": "input text is missing"});
        let expected = "15:13:28.044  2 faces  nobody speaks  sees Windsor tie 0.42, suit 0.21";
        assert_eq!(caption(&result, &[]), expected);
        assert_eq!(caption(&json!({}), &[]), "-             no picture  no sound");
    }

    #[test]
    fn caption_calls_unlikely_words_unsure() {
        let words = json!({"said": {"text": "I'm going to do it."}, "sure": {"score": -1.5}});
        assert!(caption(&result(words), &[]).contains("\"I'm going to do it.\" (unsure)\n"));
    }

    #[test]
    fn bars_stay_within_their_ends() {
        assert_eq!([-1.0, 0.0, 0.6, 1.0].map(|cosine| bar(cosine).matches('█').count()), [0, 0, 12, 12]);
    }
}
