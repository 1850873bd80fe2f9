//! Conditions: failures that keep the pipeline from working, their beginning, and their remedy.
//!
//! The component that does a kind of [`Work`] reports a [`Cause`] when it fails and progress when it succeeds. The
//! [`Board`] holds the present conditions. A condition ends by progress alone, never because the last error is a
//! while ago. Each is logged once. One that lasts is logged again every ten seconds, with the number of reports since
//! then.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Timestamp;

/// A kind of work that can fail for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// To reach the brokers and to be authenticated.
    Connect,
    /// To read the inputs.
    Read,
    /// To publish results, dead letters and late records.
    Publish,
    /// To commit offsets, alone or in a transaction.
    Commit,
}

impl Work {
    /// The name in logs and in the health report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Commit => "commit",
        }
    }
}

/// The cause of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The failure, in a text that stays the same while the failure does.
    pub what: String,
    /// The remedy; empty where none is known.
    pub remedy: String,
    /// True if it lasts until a person acts. The pipeline is then not ready at once, else after [`GRACE`].
    pub lasts: bool,
}

impl Cause {
    /// A failure that may pass by itself.
    pub fn passing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into(), lasts: false }
    }

    /// A failure that an operator has to fix.
    pub fn lasting(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into(), lasts: true }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

/// Takes reports. Calls return at once, from any thread.
pub trait Conditions: Send + Sync {
    /// Reports that work fails. `on` names the part that fails, if it is not all of the work: a topic, a group, a
    /// client. For the same work on the same part, the last cause holds.
    fn report(&self, work: Work, on: &str, cause: Cause);

    /// Reports progress: the work succeeds again. Cheap when nothing was reported.
    fn done(&self, work: Work, on: &str);
}

/// Forgets all reports: for tools that print errors themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unreported;

impl Conditions for Unreported {
    fn report(&self, _: Work, _: &str, _: Cause) {}

    fn done(&self, _: Work, _: &str) {}
}

/// The time before a failure that may pass makes the pipeline not ready.
pub const GRACE: Duration = Duration::from_secs(5);

/// The time before a failure that may pass is logged: clients connect, and groups change, all the time.
pub const SAY_AFTER: Duration = Duration::from_secs(2);

/// The time after which a condition that lasts is logged again.
pub const SAY_AGAIN: Duration = Duration::from_secs(10);

/// The most conditions held at a time. More of them would not explain more than the first ones.
const MOST: usize = 64;

/// A failure that keeps work from being done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The work.
    pub work: Work,
    /// The part of the work that fails; empty for all of it.
    pub on: String,
    /// The cause.
    pub cause: Cause,
    /// The time of its first report.
    pub since: Timestamp,
    /// The number of reports since then.
    pub reports: u64,
    /// The time at which it was last logged, and the number of reports by then.
    said: Option<(Timestamp, u64)>,
}

impl Condition {
    /// True if the pipeline is not ready because of it.
    pub fn blocks(&self, now: Timestamp) -> bool {
        self.cause.lasts || now.since(self.since) >= GRACE
    }
}

/// A log entry about a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionEntry {
    /// The condition, as it is or was.
    pub condition: Condition,
    /// The change of the condition.
    pub change: Change,
}

/// A change of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new, or has another cause.
    Begins,
    /// It lasts.
    Lasts {
        /// The number of reports since the last log entry.
        repeated: u64,
    },
    /// It has ended by progress.
    Ends,
}

/// The conditions that hold.
#[derive(Debug, Default)]
pub struct Board {
    held: BTreeMap<(Work, String), Condition>,
    /// Conditions that were logged and ended a short while ago: one that comes and goes is not logged each time.
    ended: BTreeMap<(Work, String), (Cause, Timestamp)>,
}

impl Board {
    /// Takes a report. Returns a log entry if it is to be logged now.
    pub fn report(&mut self, work: Work, on: &str, cause: Cause, now: Timestamp) -> Option<ConditionEntry> {
        let key = (work, on.to_owned());
        if let Some(held) = self.held.get_mut(&key) {
            held.reports += 1;
            // A cause that an operator has to fix explains one that may pass, so it is not replaced by it.
            if held.cause == cause || (held.cause.lasts && !cause.lasts) {
                return None;
            }
            let is_to_say = cause.lasts;
            held.cause = cause;
            return is_to_say.then(|| Self::say(held, Change::Begins, now));
        }
        if self.held.len() >= MOST {
            return None;
        }
        self.ended.retain(|_, (_, said_at)| now.since(*said_at) < SAY_AGAIN);
        let before = self.ended.remove(&key).filter(|(ended, _)| *ended == cause);
        let said = before.map(|(_, said_at)| (said_at, 0));
        let mut condition = Condition { work, on: on.to_owned(), cause, since: now, reports: 1, said };
        let is_to_say = condition.cause.lasts && said.is_none();
        let change = is_to_say.then(|| Self::say(&mut condition, Change::Begins, now));
        self.held.insert(key, condition);
        change
    }

    /// Ends a condition. Returns a log entry, unless its beginning was not logged.
    pub fn progress(&mut self, work: Work, on: &str, now: Timestamp) -> Option<ConditionEntry> {
        let key = (work, on.to_owned());
        let ended = self.held.remove(&key)?;
        let (said_at, _) = ended.said?;
        let is_to_say = said_at >= ended.since;
        self.ended.insert(key, (ended.cause.clone(), if is_to_say { now } else { said_at }));
        is_to_say.then_some(ConditionEntry { condition: ended, change: Change::Ends })
    }

    /// Log entries that are due: conditions that last and were not logged, or not for a while.
    pub fn due(&mut self, now: Timestamp) -> Vec<ConditionEntry> {
        let mut due = Vec::new();
        for held in self.held.values_mut() {
            match held.said {
                None if now.since(held.since) >= SAY_AFTER => due.push(Self::say(held, Change::Begins, now)),
                Some((said_at, reports)) if now.since(said_at) >= SAY_AGAIN => {
                    let repeated = held.reports - reports;
                    due.push(Self::say(held, Change::Lasts { repeated }, now));
                }
                _ => {}
            }
        }
        due
    }

    fn say(condition: &mut Condition, change: Change, now: Timestamp) -> ConditionEntry {
        condition.said = Some((now, condition.reports));
        ConditionEntry { condition: condition.clone(), change }
    }

    /// All conditions: those that make the pipeline not ready first, and the oldest of these first.
    pub fn held(&self, now: Timestamp) -> Vec<Condition> {
        let mut held: Vec<Condition> = self.held.values().cloned().collect();
        held.sort_by_key(|condition| (!condition.blocks(now), condition.since));
        held
    }

    /// True if there is no condition.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// True if the pipeline is not ready because of a condition.
    pub fn blocks(&self, now: Timestamp) -> bool {
        self.held.values().any(|condition| condition.blocks(now))
    }

    /// Forgets everything, since the components that reported have been replaced.
    pub fn clear(&mut self) {
        self.held.clear();
        self.ended.clear();
    }
}

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;
