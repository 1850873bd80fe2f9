//! The law's memory of each stage, which damps its reactions.

use crate::time::Timestamp;

use super::decision::ScalingReason;
use super::spec::{Cooldown, Level};

/// The law's memory of one stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct StageMemory {
    /// The number of units when the law first saw the stage.
    pub(super) start: usize,
    /// The current level.
    level: usize,
    changed: Option<Timestamp>,
    fewer: Option<Fewer>,
}

/// A need for fewer units than run now.
#[derive(Clone, Copy, Debug)]
struct Fewer {
    /// Since when fewer units have been enough.
    since: Timestamp,
    /// The largest need since then.
    most: usize,
}

impl StageMemory {
    pub(super) fn new(start: usize) -> Self {
        Self { start, level: 0, changed: None, fewer: None }
    }

    /// The level for a lag, and the reason. A level begins at its lag and ends at a share of that.
    pub(super) fn level<'a>(
        &mut self,
        levels: &'a [Level],
        lag: u64,
        drained: f64,
    ) -> Option<(&'a Level, ScalingReason)> {
        let below = |level: &Level| (level.lag as f64 * drained) as u64;
        let reached = levels.iter().rposition(|level| lag >= level.lag).unwrap_or(0);
        self.level = self.level.min(levels.len().saturating_sub(1)).max(reached);
        while self.level > 0 && levels.get(self.level).is_some_and(|level| lag <= below(level)) {
            self.level -= 1;
        }
        let level = levels.get(self.level)?;
        let reason = match levels.get(self.level + 1) {
            Some(above) if lag <= below(above) => ScalingReason::Drained { lag: below(above) },
            _ => ScalingReason::Reached { lag: level.lag },
        };
        Some((level, reason))
    }

    /// The next number, if `count` units run and `wanted` units are needed now.
    pub(super) fn settle(
        &mut self,
        count: usize,
        wanted: usize,
        cooldown: Cooldown,
        now: Timestamp,
    ) -> usize {
        if wanted >= count {
            self.fewer = None;
            let waits = self.changed.is_some_and(|changed| now < changed.after(cooldown.up));
            return if waits { count } else { wanted };
        }
        let fewer = self.fewer.get_or_insert(Fewer { since: now, most: wanted });
        fewer.most = fewer.most.max(wanted);
        if now < fewer.since.after(cooldown.down) { count } else { fewer.most }
    }

    /// Records a change.
    pub(super) fn changed(&mut self, now: Timestamp) {
        self.changed = Some(now);
        self.fewer = None;
    }
}
