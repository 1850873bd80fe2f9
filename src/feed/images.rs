//! A directory of images, with times in their names or at a steady rate.

use std::path::Path;

use lockstep_engine::time::Timestamp;

use super::source::{FeedRecord, FeedSource};
use crate::commands::Failure;

pub(super) fn open(directory: &Path, fps: f64) -> Result<FeedSource, Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        // Hidden files are what systems leave there, as `._frame-1.jpg`.
        if path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        let content_type = match extension.as_str() {
            _ if !path.is_file() => None,
            "jpg" | "jpeg" => Some("image/jpeg"),
            "png" => Some("image/png"),
            "webp" => Some("image/webp"),
            _ => None,
        };
        let content_type = content_type.ok_or_else(|| {
            format!(
                "{}: it is no JPEG, PNG or WebP; take it out of the directory, or hide it",
                path.display()
            )
        })?;
        files.push((path, content_type));
    }
    if files.is_empty() {
        return Err(format!(
            "{}: no JPEG, PNG or WebP is in it; hidden files are left out",
            directory.display()
        )
        .into());
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
        if payload.is_empty() {
            return Err(format!("{}: the file is empty; leave it out", path.display()).into());
        }
        Ok(FeedRecord { at, kind: "video", content_type: content_type.into(), payload: payload.into() })
    });
    Ok(FeedSource { absolute, file: directory.to_owned(), items: Box::new(items) })
}

/// The time in a file's name: nanoseconds (19 digits) or milliseconds (13 digits) since the epoch, or
/// RFC 3339. `-` or `_` may replace the colons, which not every file system allows.
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
    fn hidden_files_are_left_out_and_empty_ones_refused() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
        write("._a.jpg", b"left by a system");
        write(".b.png", b"hidden");
        let none = super::open(directory.path(), 25.0).err().unwrap().to_string();
        assert!(none.contains("hidden files are left out"), "{none}");
        write("a.jpg", b"a picture");
        let names = |source: super::FeedSource| {
            source.items.map(|item| item.map(|item| item.payload)).collect::<Vec<_>>()
        };
        let found = names(super::open(directory.path(), 25.0).unwrap());
        assert!(matches!(found.as_slice(), [Ok(payload)] if payload == "a picture"), "{found:?}");
        write("b.jpg", b"");
        let found = names(super::open(directory.path(), 25.0).unwrap());
        assert!(
            matches!(found.as_slice(), [Ok(_), Err(why)] if why.to_string().contains("b.jpg")),
            "{found:?}"
        );
    }

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
