//! What becomes of a bundle that has closed.

use smallvec::SmallVec;

use super::bundle::{Bundle, Lack, Shortfall};
use super::event::Event;
use super::policy::Missing;
use super::rules::Rule;
use super::stream::View;
use crate::position::InputId;
use crate::time::Timestamp;

/// A bundle whose parts have been found.
#[derive(Debug)]
pub(super) struct Closing<T> {
    /// As [`begin`] made it, with its parts.
    pub(super) bundle: Box<Bundle<T>>,
    /// Whether it is the first of its stream.
    pub(super) first: bool,
    /// When it began to wait, in wall time.
    pub(super) opened_at: i64,
    /// Why it does not wait for more, if it is not that nothing can come: `MaxWait` or `Overflow`.
    pub(super) cut_short: Option<Lack>,
    pub(super) telling: Telling,
}

/// What cuts a bundle short: that it has waited for long enough, or that there is no more room.
#[inline]
pub(super) fn cut_short(waited: bool, no_room: bool) -> Option<Lack> {
    if waited { Some(Lack::MaxWait) } else { no_room.then_some(Lack::Overflow) }
}

/// Which telling of a bundle it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Telling {
    pub(super) revision: u32,
    pub(super) is_final: bool,
    pub(super) is_repeated: bool,
}

impl Telling {
    /// The one and only.
    pub(super) const ONLY: Self = Self { revision: 0, is_final: true, is_repeated: false };

    /// Whether the bundle was told before: then it cannot be taken back.
    fn was_told(self) -> bool {
        self.revision > 0 || self.is_repeated
    }
}

/// Whether a bundle goes on, and if not, the first input to blame.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Goes,
    Dropped(InputId),
    DeadLetter(InputId),
}

/// The bundle of a stream at that event time, for so many parts, which are put in where they are to stay: a bundle is large,
/// and each time that it is moved costs.
#[inline]
pub(super) fn begin<T>(view: &View<'_>, event_time: i64, inputs: usize) -> Box<Bundle<T>> {
    Box::new(Bundle {
        stream: view.key.clone(),
        event_time: Timestamp::from_nanos(event_time),
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
    /// Judges the bundle by the inputs that brought too little, and tells it. `settled` says of an input whether nothing
    /// more could have come; it is asked only where there is too little.
    #[inline]
    pub(super) fn tell(self, view: &View<'_>, settled: impl Fn(usize) -> bool) -> Event<T> {
        let mut verdict = Verdict::Goes;
        let mut bundle = self.bundle;
        let Bundle { parts, incomplete, .. } = &mut *bundle;
        for (input, (part, rule)) in (0_u16..).zip(parts.iter().zip(&view.rules.inputs)) {
            let Some(lack) = lack(rule, part.samples.len(), part.coverage, part.held) else { continue };
            let id = InputId(input);
            if !self.telling.was_told() && counts(lack, rule) {
                verdict = verdict.graver(rule.missing, id);
            }
            let lack = if settled(id.index()) {
                lack
            } else {
                self.cut_short.filter(|_| view.idle_at(id.index()) > view.now).unwrap_or(Lack::Idle)
            };
            incomplete.push(Shortfall { input: id, lack });
        }
        bundle.first = self.first;
        bundle.opened_at = Timestamp::from_nanos(self.opened_at);
        bundle.revision = self.telling.revision;
        bundle.is_final = self.telling.is_final;
        bundle.is_repeated = self.telling.is_repeated;
        match verdict {
            Verdict::Goes => Event::Bundle(bundle),
            Verdict::Dropped(missing) => Event::Dropped { bundle, missing },
            Verdict::DeadLetter(missing) => Event::DeadLetter { bundle, missing },
        }
    }
}

/// What a bundle lacks of an input, if it has too little of it.
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

/// Whether the policy of an input is asked: a share that nobody has asked for makes no verdict.
pub(super) fn counts(lack: Lack, rule: &Rule) -> bool {
    lack != Lack::MinCoverage || rule.needs.min_coverage.is_some()
}

impl Verdict {
    /// The graver of two verdicts wins: a dead letter keeps what dropping would lose.
    fn graver(self, missing: Missing, input: InputId) -> Self {
        match (missing, self) {
            (Missing::Drop, Self::Goes) => Self::Dropped(input),
            (Missing::DeadLetter, Self::Goes | Self::Dropped(_)) => Self::DeadLetter(input),
            _ => self,
        }
    }
}
