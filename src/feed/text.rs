//! Lines of text with times: `TIME<tab or space>text`, TIME in seconds from the beginning or RFC 3339.

use std::path::Path;

use lockstep_engine::time::Timestamp;

use super::source::{FeedRecord, FeedSource};
use crate::commands::Failure;

pub(super) fn open(file: &Path) -> Result<FeedSource, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (absolute, items) = parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(FeedSource { absolute, file: file.to_owned(), items: Box::new(items.into_iter().map(Ok)) })
}

fn parse(text: &str) -> Result<(bool, Vec<FeedRecord>), String> {
    let mut absolute = None;
    let mut items = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = |what: &str| format!("line {}: {what}", number + 1);
        let (time, words) =
            line.split_once(['\t', ' ']).ok_or_else(|| place("needs a time, a tab or space, and text"))?;
        let (is_absolute, at) = match time.parse::<f64>() {
            Ok(seconds) if seconds.is_finite() => (false, (seconds * 1e9).round() as i64),
            _ => {
                let at = Timestamp::parse_rfc3339(time).map_err(|_| {
                    place(&format!(
                        "{time:?} is no time; seconds as 1.5, or 2026-03-01T12:00:00Z would be right"
                    ))
                })?;
                (true, at.as_nanos())
            }
        };
        if *absolute.get_or_insert(is_absolute) != is_absolute {
            return Err(place("mixes seconds and dates; all lines must have the same kind of time"));
        }
        let payload = words.trim().to_owned().into();
        items.push(FeedRecord { at, kind: "text", content_type: "text/plain".into(), payload });
    }
    items.sort_by_key(|item| item.at);
    Ok((absolute.unwrap_or(false), items))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn times_are_seconds_or_dates_but_not_both() {
        let (absolute, items) = parse("1.5 hello there\n\n0\tfirst\n").unwrap();
        assert!(!absolute);
        let read: Vec<_> = items.iter().map(|item| (item.at, item.payload.as_ref())).collect();
        assert_eq!(read, [(0, b"first".as_slice()), (1_500_000_000, b"hello there")]);
        assert!(parse("2026-03-01T12:00:00Z hi").unwrap().0);
        assert!(parse("0 a\n2026-03-01T12:00:00Z b").err().unwrap().starts_with("line 2"));
        assert!(parse("soon a").err().unwrap().contains("soon"));
    }
}
