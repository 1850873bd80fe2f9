//! Points in time: nanoseconds since the Unix epoch, for event time, wall time and the runtime's clock.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the one place where clocks are read"
)]

use std::fmt;
use std::sync::LazyLock;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z, from the year 1677 to 2262.
///
/// Arithmetic saturates: a bound that cannot be represented behaves as the furthest one that can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest point in time.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest point in time.
    pub const MAX: Self = Self(i64::MAX);

    /// The point `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The point `millis` milliseconds after the epoch, the unit of Kafka's own timestamps.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// `self - earlier` in nanoseconds; negative when `earlier` is later.
    pub const fn nanos_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time from `earlier` to `self`, or zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanos_since(earlier)).unwrap_or(0))
    }

    /// The point `span` later.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }

    /// The point `span` earlier.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }

    /// Reads RFC 3339, as `2026-03-01T12:00:00.25Z` or with an offset.
    ///
    /// # Errors
    /// If the text is not of that form, or the point is outside the years 1677 to 2262.
    pub fn parse_rfc3339(text: &str) -> Result<Self, String> {
        // jiff accepts more: other separators, offsets of a day and more, names of zones, times without seconds.
        if !is_rfc3339(text.as_bytes()) {
            return Err("it is not of the form YYYY-MM-DDTHH:MM:SS, with a fraction after a point if wished, and Z or ±HH:MM".into());
        }
        let point: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| error.to_string())?;
        i64::try_from(point.as_nanosecond())
            .map(Self)
            .map_err(|_| format!("{text} is outside the years 1677 to 2262"))
    }

    /// Reads the runtime's clock: the wall time of the first call plus the time that has passed since. It never
    /// steps, so all waiting uses it. Only code outside the engine calls this: the rules take `now` as an argument.
    pub fn now() -> Self {
        static BEGAN: LazyLock<(Instant, Timestamp)> = LazyLock::new(|| (Instant::now(), Timestamp::wall()));
        let (began, wall) = *BEGAN;
        wall.after(began.elapsed())
    }

    /// Reads the wall clock, which may step in either direction. It is for comparison with event times and for
    /// timestamps. Only code outside the engine calls this.
    pub fn wall() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(nanos(since).saturating_add(stepped()))
    }

    /// The wall clock less the runtime's clock, in nanoseconds; negative when the wall clock is behind.
    pub fn wall_ahead() -> i64 {
        Self::wall().nanos_since(Self::now())
    }

    /// The same moment by a clock that is `by_ns` nanoseconds ahead.
    pub const fn ahead(self, by_ns: i64) -> Self {
        Self(self.0.saturating_add(by_ns))
    }
}

/// The step of the wall clock that a test has set, in nanoseconds.
#[cfg(debug_assertions)]
static STEPPED: AtomicI64 = AtomicI64::new(0);

#[cfg(debug_assertions)]
fn stepped() -> i64 {
    STEPPED.load(Ordering::Relaxed)
}

#[cfg(not(debug_assertions))]
const fn stepped() -> i64 {
    0
}

/// Steps the wall clock as this process sees it: from now on it is `ahead_ns` ahead of the real one. Tests use it to
/// prove that nothing waits by the wall clock.
#[cfg(debug_assertions)]
pub fn step_wall(ahead_ns: i64) {
    STEPPED.store(ahead_ns, Ordering::Relaxed);
}

/// Writes RFC 3339 in UTC, with as many digits of the second as needed.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(point) => point.fmt(f),
            Err(_) => write!(f, "{} ns", self.0),
        }
    }
}

/// A span in nanoseconds, at most about 292 years.
pub fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// True if a text has the form of RFC 3339, section 5.6. It does not check that the day exists; jiff does.
fn is_rfc3339(text: &[u8]) -> bool {
    let has_form = |text: &[u8], form: &[u8]| {
        text.iter().zip(form).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b't' | b' '),
            form => byte == form,
        })
    };
    let Some((point, rest)) = text.split_at_checked(19) else { return false };
    let zone = match rest.split_first() {
        Some((b'.', fraction)) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            fraction.get(digits..).unwrap_or_default()
        }
        _ => rest,
    };
    let is_zone = match zone {
        b"Z" | b"z" => true,
        [b'+' | b'-', offset @ ..] => match offset {
            [h1, h2, _, m1, m2] => has_form(offset, b"00:00") && [*h1, *h2] < *b"24" && [*m1, *m2] < *b"60",
            _ => false,
        },
        _ => false,
    };
    has_form(point, b"0000-00-00T00:00:00") && is_zone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_survives_the_round_trip() {
        for text in ["2026-03-01T12:00:00.25Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999Z"] {
            let point = Timestamp::parse_rfc3339(text).expect(text);
            assert_eq!(point.to_string(), text);
        }
        let shifted = Timestamp::parse_rfc3339("2026-03-01T13:00:00.25+01:00");
        assert_eq!(shifted, Timestamp::parse_rfc3339("2026-03-01T12:00:00.25Z"));
        assert!(Timestamp::parse_rfc3339("yesterday").is_err());
        assert!(Timestamp::parse_rfc3339("9999-01-01T00:00:00Z").is_err());
    }

    #[test]
    fn rfc3339_takes_its_own_forms_and_no_others() {
        for text in ["2026-03-01t12:00:00z", "2026-03-01 12:00:00.5Z", "2026-03-01T12:00:00-23:59"] {
            assert!(Timestamp::parse_rfc3339(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "2026-03-01T12:00:00",
            "2026-03-01T12:00Z",
            "20260301T120000Z",
            "2026-03-01T12:00:00,5Z",
            "2026-03-01T12:00:00.Z",
            "2026-03-01T12:00:00+0100",
            "2026-03-01T12:00:00+24:00",
            "2026-03-01T12:00:00+01:60",
            "2026-03-01T12:00:00Z[UTC]",
            "+002026-03-01T12:00:00Z",
            "2026-02-30T12:00:00Z",
        ] {
            assert!(Timestamp::parse_rfc3339(text).is_err(), "{text}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX.after(Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.before(Duration::MAX), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.since(Timestamp::MAX), Duration::ZERO);
    }
}
