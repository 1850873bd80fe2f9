//! The kinds of values: the rules by which each is read, and the error for every other value.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use lockstep_engine::time::nanos;
use toml::de::DeValue;

/// A value as error messages show it, at most 60 characters of it.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() > 60 => {
            format!("{:?}", text.chars().take(57).chain("…".chars()).collect::<String>())
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(yes) => yes.to_string(),
        other => format!("a {}", other.type_str()),
    }
}

type Parsed<T> = Result<T, String>;

fn text<'v>(value: &'v DeValue<'_>, want: &str) -> Parsed<&'v str> {
    value.as_str().ok_or_else(|| format!("is {}; write {want}", shown(value)))
}

/// A text of at least one character.
pub(super) fn string(value: &DeValue<'_>) -> Parsed<String> {
    match text(value, "a text in quotes")? {
        "" => Err("is empty; write a text".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Parsed<bool> {
    value.as_bool().ok_or_else(|| format!("is {}; write true or false, without quotes", shown(value)))
}

/// A path as written; the caller joins it to its base folder.
pub(super) fn path(value: &DeValue<'_>) -> Parsed<PathBuf> {
    string(value).map(PathBuf::from)
}

/// One of a few words.
pub(super) fn word<T: Copy>(words: &[(&str, T)]) -> impl Fn(&DeValue<'_>) -> Parsed<T> {
    move |value| {
        let want = || words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
        let text = text(value, &want())?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        found.ok_or_else(|| format!("is {}; write {}", shown(value), want()))
    }
}

/// A whole number.
pub(super) fn whole(range: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Parsed<u64> {
    move |value| {
        let (least, most) = (range.start(), range.end());
        let Some(integer) = value.as_integer() else {
            return Err(format!("{} is no whole number; write one from {least} to {most}", shown(value)));
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("{} is out of range {least}..={most}", shown(value)))
    }
}

/// A whole number as a count of things in memory.
pub(super) fn count(range: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Parsed<usize> {
    let whole = whole(range);
    move |value| whole(value).and_then(|number| usize::try_from(number).map_err(|error| error.to_string()))
}

/// A whole number that fits 32 bits.
pub(super) fn small(range: RangeInclusive<u32>) -> impl Fn(&DeValue<'_>) -> Parsed<u32> {
    let whole = whole(u64::from(*range.start())..=u64::from(*range.end()));
    move |value| whole(value).and_then(|number| u32::try_from(number).map_err(|error| error.to_string()))
}

/// Any whole number, negative ones too.
pub(super) fn integer(value: &DeValue<'_>) -> Parsed<i64> {
    value
        .as_integer()
        .and_then(|integer| i64::from_str_radix(integer.as_str(), integer.radix()).ok())
        .ok_or_else(|| format!("{} is no whole number; write one, as 7", shown(value)))
}

/// A finite number in a range.
pub(super) fn number(range: RangeInclusive<f32>) -> impl Fn(&DeValue<'_>) -> Parsed<f32> {
    move |value| {
        let number = match value {
            DeValue::Float(float) => float.as_str().replace('_', "").parse::<f32>().ok(),
            DeValue::Integer(_) => integer(value).ok().map(|whole| whole as f32),
            _ => None,
        };
        number.filter(|number| number.is_finite() && range.contains(number)).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            let is_number = matches!(value, DeValue::Float(_) | DeValue::Integer(_));
            match (*least == f32::MIN, *most == f32::MAX, is_number) {
                (true, ..) => {
                    format!("{} is no number that fits 32 bits; write a number, as 0.5", shown(value))
                }
                (_, true, _) => format!("is {}; write a number of {least} or more", shown(value)),
                (_, _, true) => format!("{} is out of range {least}..={most}", shown(value)),
                (_, _, false) => format!("{} is no number; write one from {least} to {most}", shown(value)),
            }
        })
    }
}

/// A finite number of any size.
pub(super) fn any_number(value: &DeValue<'_>) -> Parsed<f32> {
    number(f32::MIN..=f32::MAX)(value)
}

/// A list of values of one kind.
pub(super) fn list<'v, T>(
    kind: impl Fn(&DeValue<'v>) -> Parsed<T>,
) -> impl Fn(&DeValue<'v>) -> Parsed<Vec<T>> {
    move |value| match value {
        DeValue::Array(items) => items
            .iter()
            .enumerate()
            .map(|(place, item)| {
                kind(item.get_ref()).map_err(|message| format!("entry {} {message}", place + 1))
            })
            .collect(),
        other => Err(format!("is {}; write a list in brackets, as [1, 2]", shown(other))),
    }
}

/// A list of exactly three values, one for each colour.
pub(super) fn three<'v, T: Copy>(
    kind: impl Fn(&DeValue<'v>) -> Parsed<T>,
) -> impl Fn(&DeValue<'v>) -> Parsed<[T; 3]> {
    let list = list(kind);
    move |value| {
        let items = list(value)?;
        <[T; 3]>::try_from(items.as_slice())
            .map_err(|_| format!("has {} entries; write three, one for each colour", items.len()))
    }
}

/// A point: its x and y.
pub(super) fn point(value: &DeValue<'_>) -> Parsed<[f64; 2]> {
    let numbers = list(any_number)(value)?;
    <[f32; 2]>::try_from(numbers.as_slice())
        .map(|point| point.map(f64::from))
        .map_err(|_| format!("has {} entries; write two, x and y, as [38.3, 51.7]", numbers.len()))
}

/// A duration such as `"200ms"`, with units from nanoseconds to days.
pub(super) fn duration(value: &DeValue<'_>) -> Parsed<Duration> {
    let want = "a duration with its unit, as \"40us\", \"200ms\", \"2s\", \"1m\", \"12h\" or \"30d\"";
    let text = text(value, want)?;
    parse_duration(text).ok_or_else(|| no_duration(value, text, want))
}

/// The error for a text that is no duration, or one of more than 2^63 nanoseconds.
fn no_duration(value: &DeValue<'_>, text: &str, want: &str) -> String {
    if is_too_long(text) {
        // 2^63 nanoseconds, in whole days.
        format!("is {}, which is too long; write \"106751d\" or less", shown(value))
    } else {
        format!("is {}; write {want}", shown(value))
    }
}

/// A duration above 0.
pub(super) fn positive_duration(value: &DeValue<'_>) -> Parsed<Duration> {
    duration(value).and_then(|length| {
        if length.is_zero() {
            Err(format!("is {}; write a duration above 0", shown(value)))
        } else {
            Ok(length)
        }
    })
}

/// A duration in nanoseconds, with its sign.
pub(super) fn signed_duration(value: &DeValue<'_>) -> Parsed<i64> {
    let want = "a duration with its unit, as \"-37ms\" or \"1.5s\"";
    let text = text(value, want)?;
    let (sign, length) = match text.strip_prefix('-') {
        Some(length) => (-1, length),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    parse_duration(length).map(|length| sign * nanos(length)).ok_or_else(|| no_duration(value, length, want))
}

/// A value of a kind, or `false` for none.
pub(super) fn or_false<T>(
    kind: impl Fn(&DeValue<'_>) -> Parsed<T>,
) -> impl Fn(&DeValue<'_>) -> Parsed<Option<T>> {
    move |value| match value {
        DeValue::Boolean(false) => Ok(None),
        _ => kind(value).map(Some).map_err(|why| format!("{why}, or false")),
    }
}

/// The units of time, in nanoseconds.
const TIMES: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Tells a duration of more than 2^63 nanoseconds from a text that is no duration.
fn is_too_long(text: &str) -> bool {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '_');
    let number = text.strip_suffix(unit).and_then(|number| number.replace('_', "").parse::<f64>().ok());
    let factor = TIMES.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| *factor as f64);
    number.zip(factor).is_some_and(|(number, factor)| number * factor >= i64::MAX as f64)
}

/// Parses a duration as the settings write it, without quotes.
pub fn parse_duration(text: &str) -> Option<Duration> {
    scaled(text, &TIMES).filter(|nanos| i64::try_from(*nanos).is_ok()).map(Duration::from_nanos)
}

/// A size in bytes such as `"8MiB"`, or a plain whole number.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Parsed<u64> {
    move |value| {
        let want = "a number of bytes, as 4096, \"64KiB\", \"8MiB\" or \"1GiB\"";
        let bytes = match value {
            DeValue::Integer(_) => whole(0..=u64::MAX)(value).ok(),
            DeValue::String(text) => parse_size(text),
            _ => None,
        };
        let bytes = bytes.ok_or_else(|| format!("is {}; write {want}", shown(value)))?;
        if range.contains(&bytes) {
            Ok(bytes)
        } else {
            let (least, most) = (show_size(*range.start()), show_size(*range.end()));
            Err(format!("{} is out of range; write a size from {least} to {most}", shown(value)))
        }
    }
}

pub(super) fn parse_size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 8] = [
        ("", 1),
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
    ];
    scaled(text, &UNITS)
}

/// Formats bytes for people: `8 MiB`.
pub fn show_size(bytes: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes >= 1 << shift && bytes.trailing_zeros() >= shift {
            return format!("{} {unit}", bytes >> shift);
        }
    }
    format!("{bytes} bytes")
}

/// Parses a decimal number and a unit. The number may have a fraction if the product is whole.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let factor = units.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| *factor)?;
    let number = number.replace('_', "");
    let (before, after) = number.split_once('.').unwrap_or((&number, ""));
    if before.is_empty() || (number.contains('.') && after.is_empty()) || after.len() > 9 {
        return None;
    }
    let whole = before.parse::<u64>().ok()?.checked_mul(factor)?;
    if after.is_empty() {
        return Some(whole);
    }
    let power = 10_u128.pow(u32::try_from(after.len()).ok()?);
    let part = u128::from(after.parse::<u64>().ok()?) * u128::from(factor);
    if part % power != 0 {
        return None;
    }
    whole.checked_add(u64::try_from(part / power).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_to_the_nanosecond() {
        for (text, nanos) in [
            ("40us", Some(40_000)),
            ("1.5s", Some(1_500_000_000)),
            ("200 ms", Some(200_000_000)),
            ("2m", Some(120_000_000_000)),
            ("3650d", Some(3650 * 86_400_000_000_000)),
            ("0ms", Some(0)),
            ("5", None),
            ("5 sec", None),
            ("-1s", None),
            ("1.s", None),
            ("0.5ns", None),
            ("999999999d", None),
            ("", None),
            ("µs", None),
        ] {
            assert_eq!(parse_duration(text), nanos.map(Duration::from_nanos), "{text}");
        }
    }

    #[test]
    fn duration_that_is_too_long_is_not_blamed_on_its_unit() {
        let error = |text: &str| duration(&DeValue::String(text.into())).expect_err("no duration");
        for text in ["9999999d", "1e999d", "99999999999999999999999999ms", "106752d"] {
            let is_number = !text.contains('e');
            assert_eq!(error(text).contains("too long; write \"106751d\" or less"), is_number, "{text}");
        }
        assert!(duration(&DeValue::String("106751d".into())).is_ok());
        assert!(error("5").contains("with its unit"));
        let signed = signed_duration(&DeValue::String("-9999999d".into())).expect_err("too long");
        assert_eq!(signed, "is \"-9999999d\", which is too long; write \"106751d\" or less");
    }

    #[test]
    fn sizes_are_read_with_binary_and_decimal_units() {
        for (text, bytes) in [
            ("8MiB", Some(8 << 20)),
            ("64 KiB", Some(64 << 10)),
            ("1.5GiB", Some(3 << 29)),
            ("10kB", Some(10_000)),
            ("4096", Some(4096)),
            ("8mb", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
        assert_eq!(show_size(8 << 20), "8 MiB");
        assert_eq!(show_size(1000), "1000 bytes");
    }
}
