//! The law: measures in, decisions out.

use std::collections::BTreeMap;

use crate::time::Timestamp;

use super::decision::{Decision, ScalingReason};
use super::excess::Backlog;
use super::limits::{CountLimits, MachineResources};
use super::measures::{Measures, Scaled, StageLoad};
use super::replicas::desired_replicas;
use super::spec::{Policy, ScalingSpec};
use super::tracks::StageMemory;

/// Decides on the number of shards and instances. The caller asks about once a second; a decision counts as under way
/// and shows in the counts of later measures.
#[derive(Clone, Debug)]
pub struct Law {
    spec: ScalingSpec,
    machine: MachineResources,
    backlog: Backlog,
    tracks: BTreeMap<Scaled, StageMemory>,
    held: BTreeMap<Scaled, usize>,
    most: BTreeMap<Scaled, usize>,
}

/// Hysteresis of scaling down: a smaller number is chosen only if its units would work for at most this part of
/// [`super::ScalingTarget::busy`]. Between the two thresholds the number stays. So a load at the border between two numbers
/// does not change the number again and again.
const DEAD_BAND: f64 = 0.75;
/// Rounding tolerance when a need is compared with a whole number.
const ROUNDING: f64 = 1e-9;

impl Law {
    /// A law for a process on a machine.
    pub fn new(spec: ScalingSpec, machine: MachineResources) -> Self {
        let (tracks, held, most) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { spec, machine, backlog: Backlog::default(), tracks, held, most }
    }

    /// The settings.
    pub fn spec(&self) -> &ScalingSpec {
        &self.spec
    }

    /// Overrides a number, whatever the policy and the cooldown say, within the bounds of the settings. `None` returns
    /// the number to the policy.
    pub fn hold(&mut self, what: Scaled, count: Option<usize>) {
        match count {
            Some(count) => self.held.insert(what, count),
            None => self.held.remove(&what),
        };
    }

    /// Caps a number at what can be had, whatever the policy, the settings or an override say. `None` removes the cap.
    pub fn limit(&mut self, what: Scaled, most: Option<usize>) {
        match most {
            Some(most) => self.most.insert(what, most.max(1)),
            None => self.most.remove(&what),
        };
    }

    /// The changes to make now: at most one for each stage, each to a number other than the current one.
    pub fn decide(&mut self, measures: &Measures, now: Timestamp) -> Vec<Decision> {
        self.backlog.look(measures, &self.spec.target);
        measures.stages.iter().filter_map(|stage| self.decide_stage(measures, stage, now)).collect()
    }

    /// The number of processes that the work of this process requires, with the backlog of the last decision: see
    /// [`desired_replicas`]. `None` while the cost of a record is unknown.
    pub fn replicas(&self, measures: &Measures) -> Option<f64> {
        let limits = |stage: &StageLoad| self.limits(stage);
        desired_replicas(measures, self.rate(measures, self.spec.target.busy)?, limits, &self.machine)
    }

    /// Records per second to provide for, if arriving records keep a unit busy for the share `busy` of its time.
    fn rate(&self, measures: &Measures, busy: f64) -> Option<f64> {
        let arrival = measures.arrival?.max(0.0);
        Some(arrival / busy.max(0.01) + self.backlog.drain(self.spec.target.drain_within))
    }

    fn limits(&self, stage: &StageLoad) -> CountLimits {
        let start = self.tracks.get(&stage.what).map_or(stage.count, |track| track.start);
        // After a manual override ends, the number stays where the override left it.
        let start = if self.spec.policy == Policy::Fixed { stage.count } else { start };
        self.possible(stage.what, CountLimits::of(&self.spec, &self.machine, stage, start))
    }

    fn possible(&self, what: Scaled, limits: CountLimits) -> CountLimits {
        let most = self.most.get(&what).copied().unwrap_or(usize::MAX);
        CountLimits { min: limits.min.min(most), max: limits.max.min(most) }
    }

    fn decide_stage(&mut self, measures: &Measures, stage: &StageLoad, now: Timestamp) -> Option<Decision> {
        let count = stage.count;
        let mut track = *self.tracks.entry(stage.what).or_insert_with(|| StageMemory::new(count));
        let (limits, to, reason) = match self.held.get(&stage.what) {
            Some(held) => {
                let limits = self.possible(stage.what, CountLimits::manual_override(&self.spec, stage.what));
                (limits, limits.clamp(*held), ScalingReason::Held)
            }
            None => {
                let limits = self.limits(stage);
                let inside = limits.clamp(count);
                let wanted = self.wanted(measures, stage, &mut track);
                match wanted {
                    Some((wanted, reason)) if inside == count => {
                        let wanted = limits.clamp(wanted);
                        (limits, track.settle(count, wanted, self.spec.cooldown, now), reason)
                    }
                    _ => (limits, inside, ScalingReason::Limits),
                }
            }
        };
        if to != count {
            track.changed(now);
        }
        self.tracks.insert(stage.what, track);
        (to != count).then(|| Decision {
            what: stage.what,
            name: stage.name.clone(),
            policy: self.spec.policy,
            from: count,
            to,
            reason,
            limits,
            lag: measures.lag,
            age: measures.age,
            served: measures.served,
            busy: stage.busy,
            bytes: measures.bytes,
        })
    }

    /// The number that the policy wants; `None` to leave the number as it is.
    fn wanted(
        &self,
        measures: &Measures,
        stage: &StageLoad,
        track: &mut StageMemory,
    ) -> Option<(usize, ScalingReason)> {
        match self.spec.policy {
            Policy::Fixed => None,
            Policy::Step => {
                let (level, reason) = track.level(&self.spec.levels, measures.lag, self.spec.drained)?;
                let wanted = match stage.what {
                    Scaled::Shards => level.shards,
                    Scaled::Instances(_) => level.instances?,
                };
                Some((wanted, reason))
            }
            Policy::Target => self.needed(measures, stage),
        }
    }

    /// The smallest number of units that can do in a second the work that arrives in a second.
    fn needed(&self, measures: &Measures, stage: &StageLoad) -> Option<(usize, ScalingReason)> {
        let cost = stage.demand(measures.slowdown(self.machine.cores))?;
        let busy = self.spec.target.busy;
        let at_least = self.rate(measures, busy)? * cost;
        let roomy = self.rate(measures, busy * DEAD_BAND)? * cost;
        let whole = |units: f64| (units - ROUNDING).ceil().max(1.0) as usize;
        let wanted =
            if whole(at_least) > stage.count { whole(at_least) } else { whole(roomy).min(stage.count) };
        let arrival = measures.arrival?;
        let drain = self.backlog.drain(self.spec.target.drain_within);
        Some((wanted, ScalingReason::Needed { arrival, drain, cost, units: (arrival + drain) * cost }))
    }
}
