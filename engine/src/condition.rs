//! Conditions: what keeps the pipeline from working, since when, and what helps.
//!
//! Whoever does a kind of [`Work`] reports a [`Cause`] when it fails and progress when it succeeds; the [`Board`] holds what is
//! true now. A condition ends by progress alone, never because the last error is a while ago. Each is said once, and what
//! lasts is said again every ten seconds with how often it was reported meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Timestamp;

/// A kind of work that can be kept from being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// To reach the brokers and to be let in.
    Connect,
    /// To read the inputs.
    Read,
    /// To publish results, dead letters and late records.
    Publish,
    /// To commit positions, alone or in a transaction.
    Commit,
}

impl Work {
    /// As it stands in logs and in what health says.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Commit => "commit",
        }
    }
}

/// Why work cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What is wrong, in words that do not change while it stays the same.
    pub what: String,
    /// What helps; empty where nobody can tell.
    pub remedy: String,
    /// Whether it lasts until somebody does something: then the pipeline is not ready at once, else after [`GRACE`].
    pub lasts: bool,
}

impl Cause {
    /// Something that may pass by itself.
    pub fn passing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into(), lasts: false }
    }

    /// Something that somebody has to mend.
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
    /// Work cannot be done. `on` names what it is about where that is not all of it: a topic, a group, a client. Of the same
    /// work on the same thing the last cause holds.
    fn report(&self, work: Work, on: &str, cause: Cause);

    /// Work has been done: progress, so that nothing keeps it from being done. Cheap when nothing was reported.
    fn done(&self, work: Work, on: &str);
}

/// Forgets all reports: for tools that print errors themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unreported;

impl Conditions for Unreported {
    fn report(&self, _: Work, _: &str, _: Cause) {}

    fn done(&self, _: Work, _: &str) {}
}

/// What may pass has this long before the pipeline counts as not ready.
pub const GRACE: Duration = Duration::from_secs(5);

/// What may pass is said only when it has lasted for so long: clients connect, and groups change, all the time.
pub const SAY_AFTER: Duration = Duration::from_secs(2);

/// What is there still is said again after this time.
pub const SAY_AGAIN: Duration = Duration::from_secs(10);

/// The most conditions held at a time: a storm of them says no more than its first.
const MOST: usize = 64;

/// What keeps work from being done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The work.
    pub work: Work,
    /// What it is about; empty for all of it.
    pub on: String,
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub since: Timestamp,
    /// How often it was reported since then.
    pub reports: u64,
    /// When it was last said, and how often it had been reported by then.
    said: Option<(Timestamp, u64)>,
}

impl Condition {
    /// Whether the pipeline is not ready because of it.
    pub fn blocks(&self, now: Timestamp) -> bool {
        self.cause.lasts || now.since(self.since) >= GRACE
    }
}

/// Something to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The condition as it is, or was.
    pub condition: Condition,
    /// What has become of it.
    pub change: Change,
}

/// What has become of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new, or has another cause.
    Begins,
    /// It lasts, and has been reported so often since it was last said.
    Lasts {
        /// So often.
        repeated: u64,
    },
    /// It has ended by progress.
    Ends,
}

/// The conditions that hold.
#[derive(Debug, Default)]
pub struct Board {
    held: BTreeMap<(Work, String), Condition>,
    /// What was said and has ended a short while ago, so that what comes and goes is not said each time.
    ended: BTreeMap<(Work, String), (Cause, Timestamp)>,
}

impl Board {
    /// Takes a report, and says whether it is to be logged now.
    pub fn report(&mut self, work: Work, on: &str, cause: Cause, now: Timestamp) -> Option<Said> {
        let key = (work, on.to_owned());
        if let Some(held) = self.held.get_mut(&key) {
            held.reports += 1;
            // A cause that somebody has to mend explains one that may pass, and is not covered up by it.
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

    /// Ends a condition, and says whether that is to be logged: not when it began unsaid.
    pub fn progress(&mut self, work: Work, on: &str, now: Timestamp) -> Option<Said> {
        let key = (work, on.to_owned());
        let ended = self.held.remove(&key)?;
        let (said_at, _) = ended.said?;
        let is_to_say = said_at >= ended.since;
        self.ended.insert(key, (ended.cause.clone(), if is_to_say { now } else { said_at }));
        is_to_say.then_some(Said { condition: ended, change: Change::Ends })
    }

    /// What has lasted for so long that it is to be said, or said again.
    pub fn due(&mut self, now: Timestamp) -> Vec<Said> {
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

    fn say(condition: &mut Condition, change: Change, now: Timestamp) -> Said {
        condition.said = Some((now, condition.reports));
        Said { condition: condition.clone(), change }
    }

    /// All that hold, those that keep the pipeline from being ready first, and of these the oldest.
    pub fn held(&self, now: Timestamp) -> Vec<Condition> {
        let mut held: Vec<Condition> = self.held.values().cloned().collect();
        held.sort_by_key(|condition| (!condition.blocks(now), condition.since));
        held
    }

    /// Whether nothing holds.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether the pipeline is not ready because of one.
    pub fn blocks(&self, now: Timestamp) -> bool {
        self.held.values().any(|condition| condition.blocks(now))
    }

    /// Forgets everything: whoever reported has been replaced.
    pub fn clear(&mut self) {
        self.held.clear();
        self.ended.clear();
    }
}

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;
