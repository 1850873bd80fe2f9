//! Dead letters as lines, for people and as JSON.

use std::collections::BTreeMap;

use lockstep_engine::publish::side_output::replay::{DeadLetterHeaders, own_timestamp};
use lockstep_engine::sample::Header;
use lockstep_kafka::tail::TailRecord;
use serde_json::{Value, json};

use super::topic::place;

/// `0:17  2026-03-01T12:00:00.25Z  oversized  ingest  tried 1  video/0@34  cam-1  300000 bytes  what was found`
pub(super) fn line(record: &TailRecord, letter: &DeadLetterHeaders, put_back: bool) -> String {
    let size = match letter.value_left_out {
        Some(bytes) => format!("{bytes} bytes, left out"),
        None => format!("{} bytes", record.value.len()),
    };
    let mut parts = vec![
        format!("{:<7}", place(record).to_string()),
        time(record),
        plain(&letter.reason),
        plain(&letter.stage),
        format!("tried {}", letter.attempts),
        origin(letter),
        stream(record),
        size,
    ];
    if put_back {
        parts.push("put back".into());
    }
    if letter.replays > 0 {
        parts.push(format!("put back {} before", times(letter.replays)));
    }
    if !letter.message.is_empty() {
        parts.push(plain(&letter.message));
    }
    parts.join("  ")
}

/// All fields except the value.
pub(super) fn object(record: &TailRecord, letter: &DeadLetterHeaders, put_back: bool) -> Value {
    json!({
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": own_timestamp(&record.headers, record.timestamp).map(|at| at.to_string()),
        "reason": letter.reason,
        "stage": letter.stage,
        "attempts": letter.attempts,
        "message": letter.message,
        "source": {
            "topic": letter.source_topic,
            "partition": letter.source_partition,
            "offset": letter.source_offset.0,
        },
        "stream": record.key.as_deref().map(String::from_utf8_lossy),
        "bytes": letter.value_left_out.unwrap_or(record.value.len() as u64),
        "value_left_out": letter.value_left_out.is_some(),
        "replays": letter.replays,
        "put_back": put_back,
    })
}

pub(super) fn time(record: &TailRecord) -> String {
    let timestamp = own_timestamp(&record.headers, record.timestamp);
    timestamp.map_or_else(|| "-".into(), |at| at.to_string())
}

pub(super) fn stream(record: &TailRecord) -> String {
    record.key.as_deref().map_or_else(|| "-".into(), |key| plain(&String::from_utf8_lossy(key)))
}

/// `video/0@34`
fn origin(letter: &DeadLetterHeaders) -> String {
    format!("{}/{}@{}", plain(&letter.source_topic), letter.source_partition, letter.source_offset.0)
}

/// `name: value`, and the bytes in hexadecimal if they are no text.
pub(super) fn header(header: &Header) -> String {
    let name = plain(&header.name);
    match header.value.as_deref().map(|value| (value, std::str::from_utf8(value))) {
        None => format!("{name} (no value)"),
        Some((_, Ok(text))) => format!("{name}: {}", plain(text)),
        Some((bytes, Err(_))) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{name}: 0x{digits}")
        }
    }
}

/// Escapes control characters. Text from producers may hold anything, and must not control the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let as_it_is = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(as_it_is)
        })
        .collect()
}

/// `once`, `twice`, `3 times`
pub(super) fn times(count: u32) -> String {
    match count {
        1 => "once".into(),
        2 => "twice".into(),
        _ => format!("{count} times"),
    }
}

/// `1 dead letter`, `2 dead letters`
pub(super) fn letters(count: u64) -> String {
    if count == 1 { "1 dead letter".into() } else { format!("{count} dead letters") }
}

/// `3 oversized, 1 undecodable`: the largest count first.
pub(super) fn counts(by: &BTreeMap<String, u64>) -> String {
    let mut sorted: Vec<(&String, &u64)> = by.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let each: Vec<String> =
        sorted.into_iter().map(|(what, count)| format!("{count} {}", plain(what))).collect();
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn render_escapes_control_characters_of_producers() {
        let evil = "a\u{1b}[2Jb\nc\u{9b}d é";
        assert_eq!(plain(evil), "a\\u{1b}[2Jb\\nc\\u{9b}d é");
        let bytes = Header::new("x\u{7}", vec![0xff, 0x1b]);
        assert_eq!(header(&bytes), "x\\u{7}: 0xff1b");
        assert_eq!(header(&Header { name: "empty".into(), value: None }), "empty (no value)");
    }
}
