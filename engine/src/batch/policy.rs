//! When a batch goes: what is configured of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::time::Timestamp;

/// How bundles are gathered into batches. Sizes and delays are named as in Triton's dynamic batcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    /// What decides when a batch goes.
    pub mode: BatchMode,
    /// The most bundles of a batch.
    pub max_size: usize,
    /// The longest that the oldest bundle waits for others, once there is a slot for its batch. Not for
    /// [`BatchMode::Static`].
    pub max_delay: Duration,
    /// Sizes at which a batch goes at once, without waiting for more; ascending. Empty: only the maximum.
    pub preferred: Vec<usize>,
    /// How long a bundle may take from its arrival in the queue to the model's answer. Dynamic batches are as small,
    /// and wait as little, as that asks for, as long as the instances keep up.
    pub target_latency: Option<Duration>,
    /// Bundles whose event time is further back than this are a backlog.
    pub behind: Duration,
    /// [`Self::max_delay`] of static batches: nothing waits for ever where no more comes.
    pub static_max_delay: Duration,
    /// When hybrid batches are static whether there is a backlog or not.
    pub static_between: Option<Hours>,
}

/// What decides when a batch goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchMode {
    /// A batch that is full goes at once, and any other when its oldest bundle has waited for
    /// [`BatchPolicy::max_delay`]. The default: it needs no measuring, and leaves the most room on a machine whose
    /// processors the model shares with the rest of the pipeline.
    #[default]
    Delay,
    /// Rate of arrival and measured cost: at once where waiting does not pay, full batches under a backlog.
    Dynamic,
    /// Full batches only.
    Static,
    /// Static under a backlog and at certain hours, else dynamic.
    Hybrid,
}

impl BatchMode {
    /// As it stands in settings.
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
    /// The longest that the oldest bundle of a batch ever waits while there is a slot for it.
    pub const fn longest_delay(&self) -> Duration {
        match self.mode {
            BatchMode::Delay | BatchMode::Dynamic => self.max_delay,
            BatchMode::Static | BatchMode::Hybrid => self.static_max_delay,
        }
    }

    /// Where nothing else is said, bundles so old are a backlog to dynamic batches: to wait for the usual
    /// 5 ms adds 1 % to that.
    pub const BEHIND: Duration = Duration::from_millis(500);
    /// The same for hybrid batches, where it changes more.
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

/// A part of every day in UTC, as `22:00-06:00`: from the first minute on, up to and without the second. It may
/// go past midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Minutes since midnight.
    from: i64,
    to: i64,
}

const DAY: i64 = 24 * 60;

impl Hours {
    /// Whether a point in time is within.
    pub fn contains(&self, now: Timestamp) -> bool {
        let minute = now.as_millis().div_euclid(60_000).rem_euclid(DAY);
        (minute - self.from).rem_euclid(DAY) < (self.to - self.from).rem_euclid(DAY)
    }
}

impl FromStr for Hours {
    type Err = String;

    /// # Errors
    /// What to write instead.
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
            _ => Err("two different times of day in UTC are expected, as \"22:00-06:00\"".to_owned()),
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
    fn hours_hold_their_first_minute_and_not_their_last_and_go_past_midnight() {
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
        assert!(night.contains(Timestamp::from_nanos(-1)), "before the epoch there were nights as well");
    }

    #[test]
    fn hours_are_told_as_they_are_read() {
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
