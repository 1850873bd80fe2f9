//! The verdict on a bundle that closes: emitted, dropped or dead-lettered.

use smallvec::SmallVec;

use super::bundle::{Bundle, Lack, Shortfall};
use super::event::Event;
use super::policy::Missing;
use super::rules::Rule;
use super::view::StreamView;
use crate::position::{InputId, Position};
use crate::time::Timestamp;

/// A bundle whose parts have been found.
#[derive(Debug)]
pub(super) struct Closing<T> {
    /// The bundle that [`begin`] made, with its parts.
    pub(super) bundle: Box<Bundle<T>>,
    /// Set for the first of its stream.
    pub(super) first: bool,
    /// The beginning of its wait, in wall time.
    pub(super) opened_at: i64,
    /// The reason why it does not wait for more: `MaxWait` or `Overflow`, or `Idle` where all inputs count as idle. None
    /// if nothing can come or inputs are idle.
    pub(super) cut_short: Option<Lack>,
    pub(super) emission: Emission,
}

/// The reason that cuts a bundle short: the longest wait if it has `waited`, else the given one.
#[inline]
pub(super) fn cut_short(waited: bool, by: Option<Lack>) -> Option<Lack> {
    if waited { Some(Lack::MaxWait) } else { by }
}

/// Returns true if a bundle may close before an input has brought all that it could. If not, the input is settled, and the
/// costly question to it can be left out.
#[inline]
pub(super) fn may_be_cut(view: &StreamView<'_>, input: usize, cut_short: Option<Lack>) -> bool {
    cut_short.is_some() || view.idle_at(input) <= view.now
}

/// Returns true if the bundle does not wait for an input because of its silence.
#[inline]
pub(super) fn is_silent(view: &StreamView<'_>, input: usize, cut_short: Option<Lack>) -> bool {
    cut_short == Some(Lack::Idle) || view.idle_at(input) <= view.now
}

/// The place of a result among all that are emitted of one bundle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Emission {
    pub(super) revision: u32,
    pub(super) is_final: bool,
    pub(super) is_repeated: bool,
}

impl Emission {
    /// The only result of its bundle.
    pub(super) const ONLY: Self = Self { revision: 0, is_final: true, is_repeated: false };

    /// Returns true if the bundle was emitted before: then it cannot be withdrawn.
    fn was_emitted(self) -> bool {
        self.revision > 0 || self.is_repeated
    }
}

/// The outcome of a bundle, with the first input to blame if it is not emitted.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Emit,
    Dropped(InputId),
    DeadLetter(InputId),
}

/// The bundle of a stream at that event time, with room for one part an `input`. Parts are written in place: a bundle is
/// large, and each move of it costs.
#[inline]
pub(super) fn begin<T>(
    view: &StreamView<'_>,
    event_time: i64,
    record: Option<Position>,
    inputs: usize,
) -> Box<Bundle<T>> {
    Box::new(Bundle {
        stream: view.key.clone(),
        event_time: Timestamp::from_nanos(event_time),
        record,
        parts: SmallVec::with_capacity(inputs),
        first: false,
        opened_at: Timestamp::from_nanos(view.now),
        closed_at: Timestamp::from_nanos(view.now),
        revision: 0,
        is_final: true,
        is_repeated: false,
        incomplete: SmallVec::new(),
    })
}

impl<T> Closing<T> {
    /// Judges the bundle by the inputs that brought too little, and makes its event, with the inputs that were cut short.
    /// `settled` returns true for an input whose samples can no longer change.
    #[inline]
    pub(super) fn into_event(self, view: &StreamView<'_>, settled: impl Fn(usize) -> bool) -> Event<T> {
        let mut verdict = Verdict::Emit;
        let mut bundle = self.bundle;
        let Bundle { parts, incomplete, .. } = &mut *bundle;
        for (input, (part, rule)) in (0_u16..).zip(parts.iter().zip(&view.rules.inputs)) {
            let id = InputId(input);
            let too_little = lack(rule, part.samples.len(), part.coverage, part.held);
            if too_little.is_some_and(|lack| !self.emission.was_emitted() && counts(lack, rule)) {
                verdict = verdict.graver(rule.missing, id);
            }
            let is_asked = rule.needs.required && !part.held;
            let is_cut = is_asked && may_be_cut(view, id.index(), self.cut_short) && !settled(id.index());
            let lack = if is_cut {
                let silent = is_silent(view, id.index(), self.cut_short);
                Some(self.cut_short.filter(|_| !silent).unwrap_or(Lack::Idle))
            } else {
                too_little
            };
            incomplete.extend(lack.map(|lack| Shortfall { input: id, lack }));
        }
        bundle.first = self.first;
        bundle.opened_at = Timestamp::from_nanos(self.opened_at);
        bundle.revision = self.emission.revision;
        bundle.is_final = self.emission.is_final;
        bundle.is_repeated = self.emission.is_repeated;
        match verdict {
            Verdict::Emit => Event::Bundle(bundle),
            Verdict::Dropped(missing) => Event::Dropped { bundle, missing },
            Verdict::DeadLetter(missing) => Event::DeadLetter { bundle, missing },
        }
    }
}

/// The lack of a bundle in an input. None if the input brought enough.
#[inline]
pub(super) fn lack(rule: &Rule, count: usize, coverage: Option<f64>, held: bool) -> Option<Lack> {
    let needs = rule.needs;
    if !needs.required || held {
        None
    } else if count == 0 {
        Some(Lack::Missing)
    } else if count < needs.min_count {
        Some(Lack::MinCount)
    } else if coverage.is_some_and(|share| share < needs.min_coverage.unwrap_or(1.0)) {
        Some(Lack::MinCoverage)
    } else {
        None
    }
}

/// Returns true if the policy of an input applies: a coverage that the policy does not require makes no verdict.
pub(super) fn counts(lack: Lack, rule: &Rule) -> bool {
    lack != Lack::MinCoverage || rule.needs.min_coverage.is_some()
}

impl Verdict {
    /// The graver of two verdicts wins: dead-lettering keeps the samples that dropping would lose.
    fn graver(self, missing: Missing, input: InputId) -> Self {
        match (missing, self) {
            (Missing::Drop, Self::Emit) => Self::Dropped(input),
            (Missing::DeadLetter, Self::Emit | Self::Dropped(_)) => Self::DeadLetter(input),
            _ => self,
        }
    }
}
