//! The policy made ready for the hot path: times as nanoseconds, one rule for each input.

use std::sync::Arc;

use super::cover::Slack;
use super::cut::Cut;
use super::limits::SearchLimits;
use super::policy::{AlignPolicy, InputPolicy, Join, Method, Missing, Needs};
use crate::position::InputId;
use crate::time::nanos;

/// The rules of all streams.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) policy: Arc<AlignPolicy>,
    pub(super) inputs: Vec<Rule>,
    /// The inputs that the pivot asks, with their places: all but its own.
    pub(super) asked: Vec<(usize, Rule)>,
    /// The pivot's place among the inputs; beyond them all without a pivot.
    pub(super) pivot: usize,
    /// The longest wait, with the allowed lateness added, as in all times here.
    pub(super) max_wait: i64,
    /// The time between the first result of a bundle and its final one.
    pub(super) lateness: i64,
    /// Emits a bundle as soon as it has enough.
    pub(super) early: bool,
    /// Set if an input may be idle by the event times of others.
    pub(super) any_idle_behind: bool,
    pub(super) forget_after: i64,
    /// Used for approximate time only.
    pub(super) limits: SearchLimits,
    /// Used for spans and sessions only.
    pub(super) cut: Cut,
}

/// The rule of one input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) ask: Ask,
    pub(super) out_of_orderness: i64,
    /// The allowed lateness, which is added to all times of this rule.
    pub(super) lateness: i64,
    /// The most that `out_of_orderness` may grow to as disorder is seen; 0 when it is fixed.
    pub(super) learn_up_to: i64,
    /// A step of the clock by more than this begins a new epoch.
    pub(super) epoch_after: u64,
    pub(super) idle_timeout: i64,
    /// The lead of another input, in event time, from which on this one is idle.
    pub(super) idle_behind: Option<i64>,
    /// The time, in wall time, for which a sample is kept while the pivot is silent.
    pub(super) retention: i64,
    pub(super) missing: Missing,
    pub(super) needs: Needs,
    /// The largest age at which the last sample is used again where there is none.
    pub(super) hold: Option<i64>,
    pub(super) slack: Slack,
}

/// The samples that a pivot asks of an input, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask {
    Window {
        before: i64,
        after: i64,
    },
    Nearest {
        tolerance: i64,
    },
    /// The nearest that no earlier pivot has taken.
    NearestOnce {
        tolerance: i64,
    },
    Latest {
        max_age: i64,
    },
    Between {
        max_age: i64,
    },
}

impl Rule {
    /// `max_wait`, `lateness` and the longest gap that counts as covered are in nanoseconds.
    pub(super) fn new(
        input: &InputPolicy,
        is_pivot: bool,
        max_wait: i64,
        lateness: i64,
        longest_gap: i64,
    ) -> Self {
        let (ask, reach) = match input.join {
            // An input with this join that is not the pivot is asked for exactly the pivot's time.
            Join::Pivot => (Ask::Nearest { tolerance: 0 }, 0),
            Join::Window { before, after } => {
                (Ask::Window { before: nanos(before), after: nanos(after) }, nanos(before))
            }
            Join::Nearest { tolerance, reuse } => {
                let tolerance = nanos(tolerance);
                let ask = if reuse { Ask::Nearest { tolerance } } else { Ask::NearestOnce { tolerance } };
                (ask, tolerance)
            }
            Join::Latest { max_age } => (Ask::Latest { max_age: nanos(max_age) }, nanos(max_age)),
            Join::AllBetweenPivots { max_age } => (Ask::Between { max_age: nanos(max_age) }, nanos(max_age)),
        };
        let slack = Slack { drift: input.clock.drift, most: longest_gap };
        let hold = match input.missing {
            Missing::Hold { max_age } if !is_pivot => Some(nanos(max_age)),
            _ => None,
        };
        let needs = match input.join {
            _ if is_pivot => Needs::default(),
            Join::Nearest { .. } | Join::Latest { .. } => Needs { min_count: 1, ..input.needs },
            _ => input.needs,
        };
        Self {
            ask,
            out_of_orderness: nanos(input.out_of_orderness).saturating_add(lateness),
            learn_up_to: input.clock.learn_up_to.map_or(0, |most| nanos(most).saturating_add(lateness)),
            lateness,
            epoch_after: input.clock.epoch_after.map_or(u64::MAX, |after| nanos(after).unsigned_abs()),
            idle_timeout: nanos(input.idle_timeout).saturating_add(lateness),
            idle_behind: input.clock.idle_behind.map(|behind| nanos(behind).saturating_add(lateness)),
            retention: max_wait.saturating_add(hold.map_or(reach, |age| age.max(reach))),
            missing: input.missing,
            needs,
            hold,
            slack,
        }
    }
}

impl Rules {
    /// The place of an input among those that the pivot asks.
    #[inline]
    pub(super) fn place_among_asked(&self, input: usize) -> usize {
        if input > self.pivot { input - 1 } else { input }
    }

    /// Returns true if a bundle can be emitted more than once.
    #[inline]
    pub(super) fn revises(&self) -> bool {
        self.early || self.lateness > 0
    }

    pub(super) fn new(policy: Arc<AlignPolicy>) -> Self {
        let pivot = policy.pivot().map_or(usize::MAX, InputId::index);
        let lateness = if pivot == usize::MAX { 0 } else { nanos(policy.revise.allowed_lateness) };
        let max_wait = nanos(policy.max_wait).saturating_add(lateness);
        let longest_gap = match policy.method {
            Method::Session { gap, .. } => nanos(gap),
            _ => i64::MAX,
        };
        let inputs = policy.inputs.iter().enumerate();
        let inputs: Vec<Rule> = inputs
            .map(|(index, input)| Rule::new(input, index == pivot, max_wait, lateness, longest_gap))
            .collect();
        Self {
            any_idle_behind: inputs.iter().any(|rule| rule.idle_behind.is_some()),
            asked: inputs.iter().copied().enumerate().filter(|(input, _)| *input != pivot).collect(),
            inputs,
            pivot,
            max_wait,
            lateness,
            early: pivot != usize::MAX && policy.revise.early,
            forget_after: nanos(policy.forget_after),
            limits: SearchLimits::new(&policy.method),
            cut: Cut::new(&policy.method),
            policy,
        }
    }
}
