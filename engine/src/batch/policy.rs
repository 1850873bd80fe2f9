//! Settings of batching.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::time::Timestamp;

/// Settings of batching. Sizes and delays are named as in Triton's dynamic batcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    /// The rule that makes a batch due.
    pub mode: BatchMode,
    /// The most bundles in a batch.
    pub max_size: usize,
    /// The longest wait of the oldest bundle for others, once a slot for its batch is free. It does not apply to
    /// [`BatchMode::Static`].
    pub max_delay: Duration,
    /// Sizes at which a batch goes at once, without waiting for more; ascending. Empty: only the maximum.
    pub preferred: Vec<usize>,
    /// The target time from a bundle's arrival in the queue to the model's answer. Dynamic batches are as small, and
    /// wait as little, as the target requires, as long as the instances keep up.
    pub target_latency: Option<Duration>,
    /// The age of the event time from which on bundles count as a backlog.
    pub behind: Duration,
    /// [`Self::max_delay`] of static batches, so that no bundle waits for ever if no more arrive.
    pub static_max_delay: Duration,
    /// The hours at which hybrid batches are static, with or without a backlog.
    pub static_between: Option<Hours>,
}

/// The rule that makes a batch due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchMode {
    /// A full batch goes at once, any other once its oldest bundle has waited for [`BatchPolicy::max_delay`]. The
    /// default: it needs no measurement, and leaves the most capacity on a machine whose processors the model shares
    /// with the rest of the pipeline.
    #[default]
    Delay,
    /// The rate of arrival and the measured cost decide: at once if waiting does not pay, full batches under a backlog.
    Dynamic,
    /// Full batches only.
    Static,
    /// Static under a backlog and at certain hours, else dynamic.
    Hybrid,
}

impl BatchMode {
    /// The name in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Dynamic => "dynamic",
            Self::Static => "static",
            Self::Hybrid => "hybrid",
        }
    }
}

impl BatchPolicy {
    /// The longest wait of a batch's oldest bundle while a slot is free.
    pub const fn longest_delay(&self) -> Duration {
        match self.mode {
            BatchMode::Delay | BatchMode::Dynamic => self.max_delay,
            BatchMode::Static | BatchMode::Hybrid => self.static_max_delay,
        }
    }

    /// The default age of a backlog for dynamic batches: the usual wait of 5 ms adds 1 % to it.
    pub const BEHIND: Duration = Duration::from_millis(500);
    /// The same for hybrid batches, for which a backlog changes more.
    pub const BEHIND_HYBRID: Duration = Duration::from_secs(10);
}

impl Default for BatchPolicy {
    fn default() -> Self {
        Self {
            mode: BatchMode::default(),
            max_size: 8,
            max_delay: Duration::from_millis(5),
            preferred: Vec::new(),
            target_latency: None,
            behind: Self::BEHIND,
            static_max_delay: Duration::from_secs(1),
            static_between: None,
        }
    }
}

/// A part of every day in UTC, as `22:00-06:00`: it includes its first minute and excludes its last. It may span
/// midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Minutes since midnight.
    from: i64,
    to: i64,
}

const DAY: i64 = 24 * 60;

impl Hours {
    /// True if a point in time is within these hours.
    pub fn contains(&self, now: Timestamp) -> bool {
        let minute = now.as_millis().div_euclid(60_000).rem_euclid(DAY);
        (minute - self.from).rem_euclid(DAY) < (self.to - self.from).rem_euclid(DAY)
    }
}

impl FromStr for Hours {
    type Err = String;

    /// # Errors
    /// The form that is expected.
    fn from_str(text: &str) -> Result<Self, String> {
        let minute = |part: &str| {
            let (hours, minutes) = part.trim().split_once(':')?;
            let is_two = |digits: &str| digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            let two = |digits: &str| digits.parse::<i64>().ok().filter(|_| is_two(digits));
            let (hours, minutes) = (two(hours)?, two(minutes)?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        };
        let parts = text.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
        match parts {
            Some((from, to)) if from != to => Ok(Self { from, to }),
            _ => Err("not a range of hours; write two different times of day in UTC, as \"22:00-06:00\""
                .to_owned()),
        }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_include_their_start_and_span_midnight() {
        let at = |text: &str| Timestamp::parse_rfc3339(&format!("2026-03-01T{text}Z")).expect(text);
        let night: Hours = "22:00-06:00".parse().expect("hours");
        for (time, within) in [
            ("21:59:59.999", false),
            ("22:00:00", true),
            ("00:00:00", true),
            ("05:59:59.999", true),
            ("06:00:00", false),
        ] {
            assert_eq!(night.contains(at(time)), within, "{time}");
        }
        let noon: Hours = "11:30-12:30".parse().expect("hours");
        assert!(
            noon.contains(at("12:00:00")) && !noon.contains(at("12:30:00")) && !noon.contains(at("00:00:00"))
        );
        assert!(night.contains(Timestamp::from_nanos(-1)), "hours apply before the epoch too");
    }

    #[test]
    fn hours_print_as_they_are_read() {
        assert_eq!(
            "22:00-06:05".parse::<Hours>().map(|hours| hours.to_string()),
            Ok("22:00-06:05".to_owned())
        );
        for wrong in
            ["", "22-6", "22:00", "24:00-06:00", "22:60-06:00", "22:00-22:00", "2:00-6:00", "+2:00-06:00"]
        {
            assert!(wrong.parse::<Hours>().is_err(), "{wrong}");
        }
    }
}
