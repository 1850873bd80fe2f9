//! The copies of models in the memory of one device, and the choice of the copy that leaves.
//!
//! A copy waits for memory, loads, is ready, and drains when another copy needs its place:
//! `Waiting → Loading → Ready → Draining`, after which it is forgotten. Copies that wait are admitted in the order in which they
//! asked, and none overtakes another, so a large model cannot starve. The least recently used copy leaves first. A copy stays
//! at least twice as long as its load took. So copies that are all in use take turns, and loading costs at most a third of the
//! time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use crate::time::Timestamp;

/// The usual least time that a copy stays, however short its load was.
pub const LEAST_STAY: Duration = Duration::from_secs(1);

/// A copy of a model that has asked for memory. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyId(u64);

/// What a copy asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The bytes that it occupies from its load on.
    pub bytes: u64,
    /// True if it never leaves for another copy.
    pub is_pinned: bool,
}

/// A copy can never be admitted beside those that never leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WouldNotFit {
    /// The bytes of the copy.
    pub bytes: u64,
    /// The limit of the device.
    pub limit: u64,
    /// The bytes of copies that never leave: pinned ones, and those of threads that hang in a call.
    pub kept: u64,
}

impl fmt::Display for WouldNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, limit, kept } = self;
        write!(f, "a copy needs {bytes} bytes, but limits.model_memory is {limit} bytes")?;
        match kept {
            0 => Ok(()),
            kept => write!(f, ", of which {kept} bytes belong to copies that never leave"),
        }
    }
}

/// What happens next, after a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryDecision {
    /// Copies that load now.
    pub admitted: Vec<CopyId>,
    /// Copies that leave when the batch under way has ended.
    pub evicted: Vec<CopyId>,
    /// Copies that can never be admitted. They are forgotten.
    pub refused: Vec<(CopyId, WouldNotFit)>,
    /// The time at which a copy may leave that the first waiting copy needs; ask again then.
    pub again_at: Option<Timestamp>,
}

/// The place of a copy in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CopyPhase {
    Waiting,
    Loading,
    Ready {
        used_at: Timestamp,
        stays_until: Timestamp,
    },
    Draining,
    /// The thread that holds it hangs in a call and may never give the memory back.
    Lost,
}

#[derive(Clone, Copy, Debug)]
struct Copy {
    need: Need,
    phase: CopyPhase,
}

/// The bytes of a device's models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// The bytes of all copies that load, are ready, drain or are lost.
    pub used: u64,
    /// The bytes of copies that never leave.
    pub kept: u64,
    /// The bytes of copies that leave.
    pub draining: u64,
}

/// The copies of models in the memory of one device.
#[derive(Clone, Debug, Default)]
pub struct Residency {
    /// The most bytes; `None` without a limit.
    limit: Option<u64>,
    copies: BTreeMap<CopyId, Copy>,
    waiting: VecDeque<CopyId>,
    asked: u64,
    /// The least time that a copy stays.
    least_stay: Duration,
}

impl Residency {
    /// An empty device with a limit in bytes. A copy stays at least for `least_stay`.
    pub fn new(limit: Option<u64>, least_stay: Duration) -> Self {
        Self { limit, least_stay, ..Self::default() }
    }

    /// Adds a copy that waits for memory. [`Residency::decide`] admits or refuses it.
    pub fn ask(&mut self, need: Need) -> CopyId {
        let id = CopyId(self.asked);
        self.asked += 1;
        self.copies.insert(id, Copy { need, phase: CopyPhase::Waiting });
        self.waiting.push_back(id);
        id
    }

    /// Notes that a copy has loaded in this time, and is ready.
    pub fn loaded(&mut self, id: CopyId, took: Duration, now: Timestamp) {
        if let Some(copy) = self.copies.get_mut(&id).filter(|copy| copy.phase == CopyPhase::Loading) {
            let stays_until = now.after((took * 2).max(self.least_stay));
            copy.phase = CopyPhase::Ready { used_at: now, stays_until };
        }
    }

    /// Notes that a ready copy has run a batch.
    pub fn used(&mut self, id: CopyId, now: Timestamp) {
        if let Some(Copy { phase: CopyPhase::Ready { used_at, .. }, .. }) = self.copies.get_mut(&id) {
            *used_at = (*used_at).max(now);
        }
    }

    /// Notes that the thread of a copy hangs. Its bytes count until [`Residency::forget`], but nobody waits for them.
    pub fn lost(&mut self, id: CopyId) {
        if let Some(copy) = self.copies.get_mut(&id) {
            copy.phase = CopyPhase::Lost;
        }
        self.waiting.retain(|waiting| *waiting != id);
    }

    /// Forgets a copy, in whatever phase: it has given its memory back, or waits no more.
    pub fn forget(&mut self, id: CopyId) {
        self.copies.remove(&id);
        self.waiting.retain(|waiting| *waiting != id);
    }

    /// Decides who loads and who leaves, in the order in which the copies asked.
    pub fn decide(&mut self, now: Timestamp) -> MemoryDecision {
        let mut decision = MemoryDecision::default();
        while let Some(first) = self.waiting.front().copied() {
            let Some(Copy { need, .. }) = self.copies.get(&first).copied() else {
                self.waiting.pop_front();
                continue;
            };
            let occupied = self.occupancy();
            let limit = self.limit.unwrap_or(u64::MAX);
            if need.bytes > limit.saturating_sub(occupied.kept) {
                let why = WouldNotFit { bytes: need.bytes, limit, kept: occupied.kept };
                decision.refused.push((first, why));
                self.forget(first);
                continue;
            }
            if need.bytes <= limit.saturating_sub(occupied.used) {
                self.set(first, CopyPhase::Loading);
                self.waiting.pop_front();
                decision.admitted.push(first);
                continue;
            }
            let missing = need.bytes.saturating_sub(limit.saturating_sub(occupied.used) + occupied.draining);
            match self.leavers(missing, now) {
                Ok(leavers) => {
                    leavers.iter().for_each(|id| self.set(*id, CopyPhase::Draining));
                    decision.evicted.extend(leavers);
                }
                Err(again_at) => decision.again_at = again_at,
            }
            break;
        }
        decision
    }

    /// The bytes of all copies.
    pub fn occupancy(&self) -> Occupancy {
        let mut sum = Occupancy::default();
        for copy in self.copies.values() {
            let bytes = copy.need.bytes;
            match copy.phase {
                CopyPhase::Waiting => continue,
                CopyPhase::Lost => sum.kept += bytes,
                _ if copy.need.is_pinned => sum.kept += bytes,
                CopyPhase::Draining => sum.draining += bytes,
                CopyPhase::Loading | CopyPhase::Ready { .. } => {}
            }
            sum.used += bytes;
        }
        sum
    }

    /// The least recently used copies that free so many bytes together.
    ///
    /// # Errors
    /// The time at which the next copy may leave, if those that may leave now do not suffice.
    fn leavers(&self, missing: u64, now: Timestamp) -> Result<Vec<CopyId>, Option<Timestamp>> {
        let ready = self.copies.iter().filter(|(_, copy)| !copy.need.is_pinned);
        let mut ready: Vec<(Timestamp, Timestamp, CopyId, u64)> = ready
            .filter_map(|(id, copy)| match copy.phase {
                CopyPhase::Ready { used_at, stays_until } => {
                    Some((used_at, stays_until, *id, copy.need.bytes))
                }
                _ => None,
            })
            .collect();
        ready.sort_unstable();
        let (mut freed, mut leavers) = (0, Vec::new());
        for (_, stays_until, id, bytes) in &ready {
            if freed >= missing {
                break;
            }
            if *stays_until <= now {
                freed += bytes;
                leavers.push(*id);
            }
        }
        if freed >= missing {
            return Ok(leavers);
        }
        Err(ready.iter().map(|(_, stays_until, ..)| *stays_until).filter(|until| *until > now).min())
    }

    fn set(&mut self, id: CopyId, phase: CopyPhase) {
        if let Some(copy) = self.copies.get_mut(&id) {
            copy.phase = phase;
        }
    }
}

/// Checks whether the models of a pipeline can share a device's memory. `eager` are the bytes of copies that load at the start,
/// `pinned` those of copies that never leave, and `largest` the bytes of the largest copy that loads when it is needed.
///
/// # Errors
/// What does not fit, with the numbers.
pub fn plan(limit: u64, eager: u64, pinned: u64, largest: u64) -> Result<(), String> {
    if eager > limit {
        return Err(format!(
            "the models that load at the start need {eager} bytes, but limits.model_memory is {limit} bytes; give some of them \
             load = \"lazy\", or raise the limit"
        ));
    }
    if pinned > 0 && pinned.saturating_add(largest) > limit {
        return Err(format!(
            "the pinned models need {pinned} bytes and the largest of the others {largest} bytes, but limits.model_memory is {limit} \
             bytes; pin fewer models, or raise the limit"
        ));
    }
    if largest > limit {
        return Err(format!(
            "a copy needs {largest} bytes, with its fallback if it has one, but limits.model_memory is {limit} bytes; raise the limit"
        ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "residency_tests.rs"]
mod tests;
