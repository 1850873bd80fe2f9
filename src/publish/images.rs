//! A directory of images, with times in their names or at a steady rate.

use std::path::Path;

use lockstep_engine::time::Timestamp;

use super::{Failure, Item, Source};

pub(super) fn open(directory: &Path, fps: f64) -> Result<Source, Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        let content_type = match extension.as_str() {
            "jpg" | "jpeg" => "image/jpeg",
            "png" => "image/png",
            "webp" => "image/webp",
            _ => continue,
        };
        files.push((path, content_type));
    }
    if files.is_empty() {
        return Err(format!("{}: no JPEG, PNG or WebP is in it", directory.display()).into());
    }
    files.sort();
    let times: Option<Vec<i64>> =
        files.iter().map(|(path, _)| time_in(path.file_stem()?.to_str()?)).collect();
    let absolute = times.is_some();
    let times = times.unwrap_or_else(|| (0..files.len()).map(|n| (n as f64 / fps * 1e9) as i64).collect());
    let mut timed: Vec<_> = times.into_iter().zip(files).collect();
    timed.sort();
    let items = timed.into_iter().map(|(at, (path, content_type))| {
        let payload = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Item { at, kind: "video", content_type: content_type.into(), payload: payload.into() })
    });
    Ok(Source { absolute, items: Box::new(items) })
}

/// The time that a name tells: nanoseconds (19 digits) or milliseconds (13 digits) since the epoch, or
/// RFC 3339, where `-` or `_` may stand for the colons, which not every file system allows.
fn time_in(name: &str) -> Option<i64> {
    let digits = name.rsplit(|c: char| !c.is_ascii_digit()).find(|part| matches!(part.len(), 13 | 19));
    if let Some(digits) = digits {
        let number: i64 = digits.parse().ok()?;
        return Some(if digits.len() == 13 { Timestamp::from_millis(number).as_nanos() } else { number });
    }
    let (date, time) = name.split_once('T')?;
    let from = date.len().checked_sub(10)?;
    let text = format!("{}T{}", date.get(from..)?, time.replacen(['-', '_'], ":", 2));
    let text = if text.ends_with('Z') || text.contains('+') { text } else { format!("{text}Z") };
    Timestamp::parse_rfc3339(&text).ok().map(Timestamp::as_nanos)
}

#[cfg(test)]
mod tests {
    use super::time_in;

    #[test]
    fn names_tell_times_in_several_ways() {
        let noon = 1_772_366_400_000_000_000;
        for name in
            ["1772366400000", "cam-1772366400000000000", "2026-03-01T12:00:00Z", "x_2026-03-01T12-00-00.0Z"]
        {
            assert_eq!(time_in(name), Some(noon), "{name}");
        }
        for name in ["frame-0001", "", "T", "2026-13-01T12:00:00Z"] {
            assert_eq!(time_in(name), None, "{name}");
        }
    }
}
